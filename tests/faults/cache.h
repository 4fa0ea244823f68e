/* What a power cut would take: changes of files and names that no successful fsync has made durable (cache.c). */

#ifndef CACHE_H
#define CACHE_H

#include <stddef.h>
#include <sys/types.h>

/* Remember changes from now on; what is taken away meanwhile is kept in the directory `graveyard`. */
void cache_begin(const char *graveyard);

/* Before a file is changed in this range, or cut to this length. */
void cache_write(int fd, off64_t offset, size_t size);
void cache_truncate(int fd, off64_t length);

/* Before a name is made, taken away, or given to another file. */
void cache_create(const char *path);
void cache_remove(const char *path);
void cache_rename(const char *from, const char *to);

/* After a successful fsync of a file, or of a directory: then its names are durable. */
void cache_sync(int fd);

/* Lose what is not durable of one file; of everything; of every file every other page, by `parity`. */
void cache_lose_file(int fd);
void cache_lose(void);
void cache_lose_pages(int parity);

#endif
