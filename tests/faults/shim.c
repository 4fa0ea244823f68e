/* A shim between a process and its disk: the n-th call that changes something below a directory goes wrong.
 *
 * Preloaded (LD_PRELOAD), it replaces the calls by which files and names are changed and made durable. Until it is
 * armed it only passes them on. Armed, it counts those on paths below the root, lists them, and plays one fault:
 *
 *   eio         the call fails and does nothing           eio-after   it does what it should, and fails
 *   eio-lost    a sync fails, and what it should have     torn        half is written, and it fails
 *   lost-cut    kept is gone                              torn-kill   half is written, and the process is killed
 *   enospc      no room, this once                        full        no room, from this call on
 *   dead        every call fails from this one on         kill-before, kill-after   the process is killed
 *   cut         the power fails before the call: what was not made durable is gone
 *   cut-half    the same, but every other page of it was written
 *   lies        syncs do nothing from this call on, and say that they did (a disk that the log is not made for)
 *
 * A call that could only fail or change nothing, since the name is taken or is not there, is not counted.
 *
 * Not replaced: mmap. What SQLite maps is the index of the WAL, which is rebuilt from the WAL and is nothing durable.
 * Whoever else changes a file by a call that is not replaced is killed by `unmodelled`, so that nothing goes unseen.
 */

#define _GNU_SOURCE
#include "cache.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LISTED = 1 << 20 };

/* What became of it, in memory that is shared with the process that forked this one, and so outlives a kill. */
static struct { char struck[PATH_MAX + 32]; size_t length; char listed[LISTED]; } *told;

static struct { char root[PATH_MAX], fault[16]; long at, count; } armed; /* for as long as `root` is not empty */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

enum deed { ALL, HALF, NOTHING };
struct part { enum deed deed; int error, dies, loses, lies; };

__attribute__((constructor)) static void begin(void) {
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED) abort();
}

static int is(const char *fault) { return strcmp(armed.fault, fault) == 0; }

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Play `fault` at the `at`-th call below `root` (counted from 1; 0: never, only list). */
void shim_arm(const char *root, const char *graveyard, long at, const char *fault) {
    snprintf(armed.fault, sizeof armed.fault, "%s", fault);
    armed.at = at;
    armed.count = 0;
    if (strncmp(fault, "cut", 3) == 0 || strstr(fault, "lost") || is("lies")) cache_begin(graveyard);
    snprintf(armed.root, sizeof armed.root, "%s", root);
}

/* Pass everything on again: the disk is well. */
void shim_disarm(void) { armed.root[0] = '\0'; }

/* The power fails now. */
void shim_cut(void) {
    cache_lose();
    die();
}

/* In the process that forks: forget what the last child did. */
void shim_forget(void) { told->struck[0] = '\0'; told->length = 0; }

/* The call that went wrong, and all that were counted, a line each: name, size, path. */
const char *shim_struck(void) { return told->struck; }
const char *shim_listed(void) { told->listed[told->length] = '\0'; return told->listed; }

static int below(const char *path) {
    size_t length = strlen(armed.root);
    return length && strncmp(path, armed.root, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Where a descriptor leads; whether that is below the root. */
static int watched(int fd, char *path) {
    if (!armed.root[0]) return 0;
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = '\0';
    return below(path);
}

static int resolved(int directory, const char *name, char *path) {
    if (!armed.root[0]) return 0;
    char base[PATH_MAX] = "";
    if (name[0] != '/') {
        if (directory == AT_FDCWD) {
            if (getcwd(base, sizeof base) == NULL) return 0;
        } else if (!watched(directory, base)) return 0;
        strncat(base, "/", 2);
    }
    return snprintf(path, PATH_MAX, "%s%s", base, name) < PATH_MAX && below(path);
}

/* Count a call and say how it is to go. Holds `turn` until `leave`. */
static struct part enter(const char *name, const char *path, size_t size, int takes_room) {
    pthread_mutex_lock(&turn);
    struct part part = {ALL, 0, 0, 0, 0};
    long number = ++armed.count;
    size_t left = LISTED - told->length;
    int length = snprintf(told->listed + told->length, left, "%s %zu %s\n", name, size, path);
    if (length < 0 || (size_t)length >= left) abort();
    told->length += length;
    int lasting = (is("full") && takes_room) || is("dead");
    if (is("lies")) part.lies = armed.at && number >= armed.at;
    if (armed.at == 0 || is("lies") || number < armed.at || (number > armed.at && !lasting)) return part;
    if (number == armed.at) snprintf(told->struck, sizeof told->struck, "%s %zu %s", name, size, path);
    if (is("cut") || is("cut-half")) {
        if (is("cut")) cache_lose();
        else cache_lose_pages(number);
        die();
    }
    if (is("kill-before")) die();
    part.dies = is("kill-after") || is("torn-kill");
    if (is("torn") || is("torn-kill")) part.deed = HALF;
    else if (!is("eio-after") && !is("kill-after")) part.deed = NOTHING;
    if (!part.dies) part.error = is("enospc") || is("full") ? ENOSPC : EIO;
    part.loses = strstr(armed.fault, "lost") != NULL;
    return part;
}

static long leave(struct part part, long result) {
    if (part.dies) die();
    pthread_mutex_unlock(&turn);
    if (!part.error) return result;
    errno = part.error;
    return -1;
}

/* Play a call: `whole` does it, `half` does half of it, `before` tells the cache what is about to change. */
#define PLAY(name, path, size, room, before, whole, half)                \
    do {                                                                 \
        struct part part = enter(name, path, size, room);                \
        long result = -1;                                                \
        if (part.deed != NOTHING) {                                      \
            before;                                                      \
            result = part.deed == ALL ? (long)(whole) : (long)(half);    \
        }                                                                \
        return leave(part, result);                                      \
    } while (0)

#define REAL(type, name, ...)                                            \
    static type (*real)(__VA_ARGS__);                                    \
    if (real == NULL) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* Opening: counted if it may make the file. */

static long opening(int (*real)(int, const char *, int, mode_t), int directory, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (!(flags & O_CREAT) || !resolved(directory, name, path)) return real(directory, name, flags, mode);
    int makes = access(path, F_OK) != 0;
    PLAY(makes ? "create" : "open", path, 0, makes, if (makes) cache_create(path), real(directory, name, flags, mode), -1);
}

static int plain_open(int directory, const char *name, int flags, mode_t mode) {
    REAL(int, openat64, int, const char *, int, mode_t);
    return real(directory, name, flags, mode);
}

static mode_t mode_of(int flags, va_list rest) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPEN(declared, directory)                                        \
    declared {                                                           \
        va_list rest;                                                    \
        va_start(rest, flags);                                           \
        mode_t mode = mode_of(flags, rest);                              \
        va_end(rest);                                                    \
        return opening(plain_open, directory, name, flags, mode);        \
    }

OPEN(int open(const char *name, int flags, ...), AT_FDCWD)
OPEN(int open64(const char *name, int flags, ...), AT_FDCWD)
OPEN(int openat(int directory, const char *name, int flags, ...), directory)
OPEN(int openat64(int directory, const char *name, int flags, ...), directory)

/* Writing. */

static off64_t place(int fd) {
    return fcntl(fd, F_GETFL) & O_APPEND ? lseek64(fd, 0, SEEK_END) : lseek64(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    char path[PATH_MAX];
    if (!watched(fd, path)) return real(fd, data, size);
    PLAY("write", path, size, 1, cache_write(fd, place(fd), size), real(fd, data, size), real(fd, data, size / 2));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    char path[PATH_MAX];
    if (!watched(fd, path)) return real(fd, data, size, offset);
    PLAY("write", path, size, 1, cache_write(fd, offset, size), real(fd, data, size, offset),
         real(fd, data, size / 2, offset));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

/* The parts of a gathered write, in one piece. */
static ssize_t gathered(int fd, const struct iovec *parts, int count, off64_t offset) {
    size_t size = 0;
    for (int number = 0; number < count; number++) size += parts[number].iov_len;
    char *data = malloc(size + 1), *end = data;
    for (int number = 0; number < count; number++) end = mempcpy(end, parts[number].iov_base, parts[number].iov_len);
    ssize_t result = offset < 0 ? write(fd, data, size) : pwrite64(fd, data, size, offset);
    int error = errno;
    free(data);
    errno = error;
    return result;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    char path[PATH_MAX];
    return watched(fd, path) ? gathered(fd, parts, count, -1) : real(fd, parts, count);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    REAL(ssize_t, pwritev64, int, const struct iovec *, int, off64_t);
    char path[PATH_MAX];
    return watched(fd, path) ? gathered(fd, parts, count, offset) : real(fd, parts, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }

int ftruncate64(int fd, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    char path[PATH_MAX];
    if (!watched(fd, path)) return real(fd, length);
    PLAY("truncate", path, length, 0, cache_truncate(fd, length), real(fd, length), -1);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* Making durable. */

static long syncing(const char *name, int (*real)(int), int fd) {
    char path[PATH_MAX];
    if (!watched(fd, path)) return real(fd);
    struct part part = enter(name, path, 0, 0);
    long result = part.lies ? 0 : part.deed == NOTHING ? -1 : real(fd);
    if (result == 0 && !part.lies) cache_sync(fd);
    if (part.loses) cache_lose_file(fd);
    return leave(part, result);
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return syncing("fsync", real, fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return syncing("fdatasync", real, fd);
}

/* Names. */

int linkat(int from, const char *name, int to, const char *other, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    char path[PATH_MAX];
    if (!resolved(to, other, path) || access(path, F_OK) == 0) return real(from, name, to, other, flags);
    PLAY("link", path, 0, 1, cache_create(path), real(from, name, to, other, flags), -1);
}

int link(const char *name, const char *other) { return linkat(AT_FDCWD, name, AT_FDCWD, other, 0); }

int renameat(int from, const char *name, int to, const char *other) {
    REAL(int, renameat, int, const char *, int, const char *);
    char path[PATH_MAX], former[PATH_MAX];
    if (!resolved(to, other, path) || !resolved(from, name, former)) return real(from, name, to, other);
    PLAY("rename", path, 0, 0, cache_rename(former, path), real(from, name, to, other), -1);
}

int rename(const char *name, const char *other) { return renameat(AT_FDCWD, name, AT_FDCWD, other); }

int unlinkat(int directory, const char *name, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char path[PATH_MAX];
    if ((flags & AT_REMOVEDIR) || !resolved(directory, name, path) || access(path, F_OK) != 0)
        return real(directory, name, flags);
    PLAY("unlink", path, 0, 0, cache_remove(path), real(directory, name, flags), -1);
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int mkdirat(int directory, const char *name, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    char path[PATH_MAX];
    if (!resolved(directory, name, path) || access(path, F_OK) == 0) return real(directory, name, mode);
    PLAY("mkdir", path, 0, 1, cache_create(path), real(directory, name, mode), -1);
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

/* Calls that change files in ways that are not modelled. */

static void unmodelled(int fd, const char *name) {
    char path[PATH_MAX];
    if (!watched(fd, path)) return;
    dprintf(2, "shim: %s of %s is not modelled\n", name, path);
    abort();
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
    REAL(int, fallocate64, int, int, off64_t, off64_t);
    unmodelled(fd, "fallocate");
    return real(fd, mode, offset, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    REAL(int, posix_fallocate64, int, off64_t, off64_t);
    unmodelled(fd, "posix_fallocate");
    return real(fd, offset, size);
}

ssize_t copy_file_range(int from, off64_t *start, int to, off64_t *end, size_t size, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    unmodelled(to, "copy_file_range");
    return real(from, start, to, end, size, flags);
}

int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags) {
    REAL(int, sync_file_range, int, off64_t, off64_t, unsigned);
    unmodelled(fd, "sync_file_range");
    return real(fd, offset, size, flags);
}
