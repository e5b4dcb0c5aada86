/* System calls that libc has no function for, and the few lines around them. */
#define _GNU_SOURCE
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* These numbers are the same on every architecture (asm-generic/unistd.h). */
enum {
    NR_open_tree = 428,
    NR_move_mount = 429,
    NR_fsopen = 430,
    NR_fsconfig = 431,
    NR_fsmount = 432,
    NR_openat2 = 437,
    NR_mount_setattr = 442,
};
enum { SET_FLAG = 0, SET_STRING = 1, CMD_CREATE = 6 };

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve) {
    uint64_t how[3] = {flags | O_CLOEXEC, 0, resolve}; /* struct open_how */
    return (int)syscall(NR_openat2, dir, path, how, sizeof how);
}

int open_in_root(int root, const char *path, uint64_t flags) {
    int fd;
    do /* EAGAIN: a rename or mount somewhere raced with a `..`; openat2(2) says try again */
        fd = sys_openat2(root, path, flags, RESOLVE_IN_ROOT);
    while (fd < 0 && errno == EAGAIN);
    return fd;
}

int sys_open_tree(int dir, const char *path, unsigned flags) {
    return (int)syscall(NR_open_tree, dir, path, flags | (*path ? 0 : AT_EMPTY_PATH) | O_CLOEXEC);
}

int sys_move_mount(int mount, int target) {
    return (int)syscall(NR_move_mount, mount, "", target, "", 0x4 | 0x40); /* F_EMPTY_PATH | T_EMPTY_PATH */
}

int sys_mount_setattr(int fd, uint64_t set, uint64_t clear, uint64_t propagation, int recursive) {
    if ((set | clear) & ATTR_ATIME) clear |= ATTR_ATIME;
    uint64_t attributes[4] = {set, clear, propagation, 0}; /* struct mount_attr */
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    return (int)syscall(NR_mount_setattr, fd, "", flags, attributes, sizeof attributes);
}

/* A detached mount of a new file system. */
int new_mount(const char *type, const char *source, const struct option *options, size_t count, uint64_t attributes) {
    int context = (int)syscall(NR_fsopen, type, 1), fd = -1;
    if (context < 0) return -1;
    if (syscall(NR_fsconfig, context, SET_STRING, "source", source, 0) < 0) goto out;
    for (size_t i = 0; i < count; i++) {
        int kind = options[i].value ? SET_STRING : SET_FLAG;
        if (syscall(NR_fsconfig, context, kind, options[i].key, options[i].value, 0) < 0) goto out;
    }
    if (syscall(NR_fsconfig, context, CMD_CREATE, NULL, NULL, 0) < 0) goto out;
    fd = (int)syscall(NR_fsmount, context, 1, (unsigned)attributes);
out:;
    int error = errno;
    close(context);
    errno = error;
    return fd;
}

long filesystem_type(int fd) {
    struct statfs info;
    return fstatfs(fd, &info) < 0 ? -1 : (long)info.f_type;
}

int is_null(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3);
}
