/*
 * Preloaded into a program, makes one of its file system calls fail: the one with the number P2P_FAULT_CALL, counted over all threads
 * and processes, among those on files below the folders P2P_FAULT_UNDER (separated by colons) that P2P_FAULT_KIND can befall:
 *
 *   full     no space left: calls that may take space
 *   broken   an I/O error: all
 *   short    half of the bytes: writes
 *   crash    the process is killed instead: all; by a write after half of its bytes
 *
 * The file P2P_FAULT_TABLE, of the size of struct table and shared by all processes, says how many calls there were and which one it hit.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum fault { NONE, FULL, BROKEN, SHORT, CRASH };
/* What a call may do. */
enum { READS = 0, GROWS = 1, WRITES = 2 };

struct table {
    _Atomic uint64_t calls;
    _Atomic uint64_t hit;
    char what[240];
};

static struct table *table;
static enum fault planned;
static uint64_t target;
static const char *under;

/* What the program would have called. */
#define REAL(name)                                                     \
    static __typeof__(name) *real;                                     \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void plan(void) {
    const char *at = getenv("P2P_FAULT_TABLE"), *kind = getenv("P2P_FAULT_KIND"), *call = getenv("P2P_FAULT_CALL");
    under = getenv("P2P_FAULT_UNDER");
    if (!at || !kind || !call || !under) return;
    int fd = open(at, O_RDWR | O_CLOEXEC);
    void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) {
        fprintf(stderr, "%s: %s\n", at, strerror(errno));
        _exit(127);
    }
    close(fd);
    planned = !strcmp(kind, "full") ? FULL : !strcmp(kind, "broken") ? BROKEN : !strcmp(kind, "short") ? SHORT : CRASH;
    target = strtoull(call, NULL, 10);
    table = shared;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* The whole path of what a call is about, in `buf` of PATH_MAX bytes: `path` as seen from the folder `fd`, or `fd` itself. */
static int find(int fd, const char *path, char *buf) {
    size_t len = 0;
    if (!path || path[0] != '/') {
        char link[40] = "/proc/self/cwd";
        if (fd != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t got = readlink(link, buf, PATH_MAX - 1);
        if (got < 0) return 0;
        len = (size_t)got;
        if (path && path[0]) buf[len++] = '/';
    }
    return snprintf(buf + len, PATH_MAX - len, "%s", path ? path : "") < (int)(PATH_MAX - len);
}

static int is_ours(const char *path) {
    for (const char *dir = under; *dir;) {
        size_t len = strcspn(dir, ":");
        if (!strncmp(path, dir, len) && (path[len] == '/' || !path[len])) return 1;
        dir += len + (dir[len] == ':');
    }
    return 0;
}

/* Counts a call, and says what befalls it. */
static enum fault befall(const char *name, int fd, const char *path, int can) {
    if (!table || (planned == FULL && !(can & GROWS)) || (planned == SHORT && !(can & WRITES))) return NONE;
    int before = errno;
    char buf[PATH_MAX];
    int ours = find(fd, path, buf) && is_ours(buf);
    errno = before;
    if (!ours || atomic_fetch_add(&table->calls, 1) + 1 != target) return NONE;
    snprintf(table->what, sizeof table->what, "%s %s", name, buf);
    atomic_store(&table->hit, 1);
    if (planned == CRASH && !(can & WRITES)) die();
    return planned;
}

/* Leaves the function with `bad` if this call is the one. */
#define FAILS(name, fd, path, can, bad)                                \
    do {                                                               \
        enum fault now = befall(name, fd, path, can);                  \
        if (now == FULL || now == BROKEN) {                            \
            errno = now == FULL ? ENOSPC : EIO;                        \
            return bad;                                                \
        }                                                              \
    } while (0)

#define MODE(flags)                                                    \
    mode_t mode = 0;                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                           \
        va_list args;                                                  \
        va_start(args, flags);                                         \
        mode = (mode_t)va_arg(args, int);                              \
        va_end(args);                                                  \
    }
#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                       \
        REAL(name);                                                    \
        MODE(flags)                                                    \
        FAILS("open", AT_FDCWD, path, flags & O_CREAT ? GROWS : READS, -1); \
        return real(path, flags, mode);                                \
    }
#define OPENAT(name)                                                   \
    int name(int dir, const char *path, int flags, ...) {              \
        REAL(name);                                                    \
        MODE(flags)                                                    \
        FAILS("open", dir, path, flags & O_CREAT ? GROWS : READS, -1); \
        return real(dir, path, flags, mode);                           \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* A call on a descriptor, or on a path. */
#define ON_FD(type, name, can, args, pass)                             \
    type name args {                                                   \
        REAL(name);                                                    \
        FAILS(#name, fd, NULL, can, -1);                               \
        return real pass;                                              \
    }
#define ON_PATH(name, at, path, can, args, pass)                       \
    int name args {                                                    \
        REAL(name);                                                    \
        FAILS(#name, at, path, can, -1);                               \
        return real pass;                                              \
    }

ON_FD(ssize_t, read, READS, (int fd, void *buf, size_t len), (fd, buf, len))
ON_FD(ssize_t, readv, READS, (int fd, const struct iovec *iov, int count), (fd, iov, count))
ON_FD(ssize_t, pread, READS, (int fd, void *buf, size_t len, off_t at), (fd, buf, len, at))
ON_FD(ssize_t, pread64, READS, (int fd, void *buf, size_t len, off64_t at), (fd, buf, len, at))
ON_FD(ssize_t, preadv, READS, (int fd, const struct iovec *iov, int count, off_t at), (fd, iov, count, at))
ON_FD(ssize_t, preadv64, READS, (int fd, const struct iovec *iov, int count, off64_t at), (fd, iov, count, at))
ON_FD(int, fsync, GROWS, (int fd), (fd))
ON_FD(int, fdatasync, GROWS, (int fd), (fd))
ON_FD(int, ftruncate, GROWS, (int fd, off_t len), (fd, len))
ON_FD(int, ftruncate64, GROWS, (int fd, off64_t len), (fd, len))
ON_FD(int, fallocate, GROWS, (int fd, int how, off_t from, off_t len), (fd, how, from, len))
ON_FD(int, fallocate64, GROWS, (int fd, int how, off64_t from, off64_t len), (fd, how, from, len))
ON_FD(int, fstat, READS, (int fd, struct stat *to), (fd, to))
ON_FD(int, fstat64, READS, (int fd, struct stat64 *to), (fd, to))

ON_PATH(stat, AT_FDCWD, path, READS, (const char *path, struct stat *to), (path, to))
ON_PATH(stat64, AT_FDCWD, path, READS, (const char *path, struct stat64 *to), (path, to))
ON_PATH(lstat, AT_FDCWD, path, READS, (const char *path, struct stat *to), (path, to))
ON_PATH(lstat64, AT_FDCWD, path, READS, (const char *path, struct stat64 *to), (path, to))
ON_PATH(fstatat, dir, path, READS, (int dir, const char *path, struct stat *to, int flags), (dir, path, to, flags))
ON_PATH(fstatat64, dir, path, READS, (int dir, const char *path, struct stat64 *to, int flags), (dir, path, to, flags))
ON_PATH(statx, dir, path, READS, (int dir, const char *path, int flags, unsigned mask, struct statx *to), (dir, path, flags, mask, to))
ON_PATH(access, AT_FDCWD, path, READS, (const char *path, int how), (path, how))
ON_PATH(mkdir, AT_FDCWD, path, GROWS, (const char *path, mode_t mode), (path, mode))
ON_PATH(mkdirat, dir, path, GROWS, (int dir, const char *path, mode_t mode), (dir, path, mode))
ON_PATH(rmdir, AT_FDCWD, path, READS, (const char *path), (path))
ON_PATH(unlink, AT_FDCWD, path, READS, (const char *path), (path))
ON_PATH(unlinkat, dir, path, READS, (int dir, const char *path, int flags), (dir, path, flags))
ON_PATH(rename, AT_FDCWD, to, GROWS, (const char *from, const char *to), (from, to))
ON_PATH(renameat, todir, to, GROWS, (int dir, const char *from, int todir, const char *to), (dir, from, todir, to))
ON_PATH(renameat2, todir, to, GROWS, (int dir, const char *from, int todir, const char *to, unsigned flags), (dir, from, todir, to, flags))

DIR *opendir(const char *path) {
    REAL(opendir);
    FAILS("opendir", AT_FDCWD, path, READS, NULL);
    return real(path);
}
struct dirent *readdir(DIR *dir) {
    REAL(readdir);
    FAILS("readdir", dirfd(dir), NULL, READS, NULL);
    return real(dir);
}
struct dirent64 *readdir64(DIR *dir) {
    REAL(readdir64);
    FAILS("readdir", dirfd(dir), NULL, READS, NULL);
    return real(dir);
}

/* A write of `len` bytes: what is written of them when this call is the one. */
#define WRITE(name, args, all, half)                                   \
    ssize_t name args {                                                \
        REAL(name);                                                    \
        enum fault now = befall(#name, fd, NULL, GROWS | WRITES);      \
        if (now == FULL || now == BROKEN) {                            \
            errno = now == FULL ? ENOSPC : EIO;                        \
            return -1;                                                 \
        }                                                              \
        if (now == NONE) return real all;                              \
        ssize_t done = real half;                                      \
        if (now == CRASH) die();                                       \
        return done;                                                   \
    }
/* At least a byte: a write of none is another fault. */
#define HALF(len) ((len) > 1 ? (len) / 2 : (len))
#define HALF_OF(iov, count) (&(struct iovec){(iov)->iov_base, (count) > 0 ? HALF((iov)->iov_len) : 0}), 1

WRITE(write, (int fd, const void *buf, size_t len), (fd, buf, len), (fd, buf, HALF(len)))
WRITE(pwrite, (int fd, const void *buf, size_t len, off_t at), (fd, buf, len, at), (fd, buf, HALF(len), at))
WRITE(pwrite64, (int fd, const void *buf, size_t len, off64_t at), (fd, buf, len, at), (fd, buf, HALF(len), at))
WRITE(writev, (int fd, const struct iovec *iov, int count), (fd, iov, count), (fd, HALF_OF(iov, count)))
WRITE(pwritev, (int fd, const struct iovec *iov, int count, off_t at), (fd, iov, count, at), (fd, HALF_OF(iov, count), at))
WRITE(pwritev64, (int fd, const struct iovec *iov, int count, off64_t at), (fd, iov, count, at), (fd, HALF_OF(iov, count), at))

/* Maps of files; a process without memory of its own is another fault. */
#define MAP(name, off)                                                 \
    void *name(void *addr, size_t len, int prot, int flags, int fd, off at) { \
        REAL(name);                                                    \
        if (fd >= 0) FAILS("mmap", fd, NULL, READS, MAP_FAILED);       \
        return real(addr, len, prot, flags, fd, at);                   \
    }
MAP(mmap, off_t)
MAP(mmap64, off64_t)

/* The C library has no function for openat2. */
long syscall(long number, ...) {
    REAL(syscall);
    long arg[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) arg[i] = va_arg(args, long);
    va_end(args);
#ifdef SYS_openat2
    /* It begins with the flags. */
    if (number == SYS_openat2) {
        uint64_t flags = *(const uint64_t *)arg[2];
        FAILS("openat2", (int)arg[0], (const char *)arg[1], flags & O_CREAT ? GROWS : READS, -1);
    }
#endif
    return real(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
