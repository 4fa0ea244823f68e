/* The page cache, seen from the disk: what was changed and not yet made durable, and how to lose it again.
 *
 * Each change is kept with what stood there before, so that undoing the changes in reverse order gives what a disk
 * holds that has written nothing but what it was told to keep. The strict reading of POSIX: fsync of a file keeps its
 * content, fsync of a directory keeps the names in it, and nothing else keeps anything.
 */

#define _GNU_SOURCE
#include "cache.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { CONTENT, CREATED, REMOVED, RENAMED };

struct file {
    dev_t device;
    ino_t inode;
    int fd; /* Never closed: closing any descriptor of a file would drop the locks that SQLite holds on it. */
};

struct change {
    enum kind kind;
    int durable;
    int file;             /* CONTENT: which one; what `old` holds stood at `offset`, in a file of `size` bytes */
    off64_t offset, size;
    size_t length;
    char *old;
    char *path, *other;   /* names; REMOVED: `other` is the link in the graveyard; RENAMED: the former name */
};

enum { MOST_FILES = 256, MOST_CHANGES = 1 << 16, PAGE = 4096 };

static struct file files[MOST_FILES];
static struct change changes[MOST_CHANGES];
static int file_count, change_count;
static char graveyard[PATH_MAX]; /* empty: nothing is remembered */

/* The calls that the shim replaces are made by number here. */
static int make_link(const char *from, const char *to) { return syscall(SYS_link, from, to); }
static int take_name(const char *path) { return syscall(SYS_unlink, path); }
static int move_name(const char *from, const char *to) { return syscall(SYS_rename, from, to); }
static int cut_to(int fd, off64_t length) { return syscall(SYS_ftruncate, fd, length); }
static long put(int fd, const void *data, size_t size, off64_t offset) {
    return syscall(SYS_pwrite64, fd, data, size, offset);
}

static void fail(const char *what) {
    perror(what);
    abort();
}

static int the_file(int fd) {
    struct stat64 found;
    if (fstat64(fd, &found) != 0) fail("cache: fstat");
    for (int number = 0; number < file_count; number++)
        if (files[number].device == found.st_dev && files[number].inode == found.st_ino) return number;
    if (file_count == MOST_FILES) fail("cache: too many files");
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int own = syscall(SYS_open, name, O_RDWR | O_CLOEXEC);
    if (own < 0) fail("cache: open");
    files[file_count] = (struct file){found.st_dev, found.st_ino, own};
    return file_count++;
}

static struct change *add(enum kind kind) {
    if (change_count == MOST_CHANGES) fail("cache: too many changes");
    changes[change_count].kind = kind;
    return &changes[change_count++];
}

void cache_begin(const char *path) {
    snprintf(graveyard, sizeof graveyard, "%s", path);
}

static void keep(int fd, off64_t offset, size_t length) {
    int number = the_file(fd);
    struct stat64 found;
    if (fstat64(fd, &found) != 0) fail("cache: fstat");
    if (offset >= found.st_size) length = 0;
    else if ((off64_t)length > found.st_size - offset) length = found.st_size - offset;
    struct change *made = add(CONTENT);
    made->file = number;
    made->offset = offset;
    made->size = found.st_size;
    made->length = length;
    made->old = malloc(length + 1);
    if (pread64(files[number].fd, made->old, length, offset) != (ssize_t)length) fail("cache: pread");
}

void cache_write(int fd, off64_t offset, size_t size) {
    if (*graveyard) keep(fd, offset, size);
}

void cache_truncate(int fd, off64_t length) {
    if (*graveyard) keep(fd, length, SSIZE_MAX);
}

void cache_create(const char *path) {
    if (*graveyard) add(CREATED)->path = strdup(path);
}

void cache_remove(const char *path) {
    if (!*graveyard || access(path, F_OK) != 0) return;
    struct change *made = add(REMOVED);
    made->path = strdup(path);
    if (asprintf(&made->other, "%s/%d", graveyard, change_count) < 0 || make_link(path, made->other) != 0)
        fail("cache: link");
}

void cache_rename(const char *from, const char *to) {
    if (!*graveyard) return;
    cache_remove(to);
    struct change *made = add(RENAMED);
    made->path = strdup(to);
    made->other = strdup(from);
}

static int is_in(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && path[length] == '/' && strchr(path + length + 1, '/') == NULL;
}

void cache_sync(int fd) {
    if (!*graveyard) return;
    struct stat64 found;
    if (fstat64(fd, &found) != 0) fail("cache: fstat");
    char name[64], directory[PATH_MAX] = "";
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (S_ISDIR(found.st_mode) && readlink(name, directory, sizeof directory - 1) < 0) fail("cache: readlink");
    for (struct change *made = changes; made < changes + change_count; made++) {
        if (made->kind != CONTENT) made->durable |= *directory && is_in(made->path, directory);
        else made->durable |= files[made->file].device == found.st_dev && files[made->file].inode == found.st_ino;
    }
}

static void undo(struct change *made) {
    switch (made->kind) {
    case CONTENT:
        put(files[made->file].fd, made->old, made->length, made->offset);
        cut_to(files[made->file].fd, made->size);
        break;
    case CREATED: /* A directory that holds something goes with it. */
        if (take_name(made->path) != 0) {
            char name[PATH_MAX + 32];
            snprintf(name, sizeof name, "%s/%ld.gone", graveyard, (long)(made - changes));
            move_name(made->path, name);
        }
        break;
    case REMOVED:
        move_name(made->other, made->path);
        break;
    case RENAMED:
        move_name(made->path, made->other);
        break;
    }
    made->durable = 1;
}

static void lose_content(int file) {
    for (int number = change_count - 1; number >= 0; number--)
        if (changes[number].kind == CONTENT && changes[number].file == file && !changes[number].durable)
            undo(&changes[number]);
}

void cache_lose_file(int fd) {
    struct stat64 found;
    /* Of a directory the names would be lost, which a kernel keeps in memory: it can only fail. */
    if (*graveyard && fstat64(fd, &found) == 0 && S_ISREG(found.st_mode)) lose_content(the_file(fd));
}

void cache_lose(void) {
    for (int number = change_count - 1; number >= 0; number--)
        if (!changes[number].durable) undo(&changes[number]);
}

void cache_lose_pages(int parity) {
    for (int file = 0; file < file_count; file++) {
        int fd = files[file].fd;
        off64_t size = lseek64(fd, 0, SEEK_END);
        char *content = malloc(size + 1);
        if (pread64(fd, content, size, 0) != size) fail("cache: pread");
        lose_content(file);
        for (off64_t page = 0; page * PAGE < size; page++)
            if ((page & 1) == (parity & 1))
                put(fd, content + page * PAGE, size - page * PAGE < PAGE ? size - page * PAGE : PAGE, page * PAGE);
        free(content);
    }
}
