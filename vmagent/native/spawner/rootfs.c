/* The container's file system: what vmagent/runtime/rootfs.py does, step by step, for the containers that need no more.
 * Every mount is built detached and attached to a descriptor found below the root: no path is resolved twice. */
#define _GNU_SOURCE
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { NEW = 0, BIND = 1, CGROUPS = 2 };               /* kinds of mounts */
enum { LINK = 0, HIERARCHY = 1, SHOWN = 2, WHOLE = 3 }; /* what a mount of cgroups is made of */
enum { ON_PROC = 1, ON_SYS = 2, ORDINARY = 4, MAY_COVER_PROC = 8, MUST_BE_PROC = 16 };
enum { MAX_LINKS = 40, MAX_OPTIONS = 64 };

static int null_fd, proc_fd = -1, sys_fd = -1;
static int sources[MAX_SOURCES];

static int path_step(const char **rest, char *part) {
    for (;;) {
        while (**rest == '/') ++*rest;
        if (!**rest) return 0;
        size_t length = until(*rest, '/');
        if (length > NAME_MAX) return errno = ENAMETOOLONG, -1;
        memcpy(part, *rest, length);
        part[length] = 0;
        *rest += length;
        if (strcmp(part, ".") != 0) return 1;
    }
}

static int has_more(const char *rest) {
    char part[NAME_MAX + 1];
    return path_step(&rest, part) != 0;
}

/* Make what is missing of `path`; `done` becomes its true place, without links. */
static int make_path(int root, const char *path, int is_folder, char *done) {
    static char todo[2 * PATH_MAX], next[2 * PATH_MAX];
    char part[NAME_MAX + 1], target[PATH_MAX];
    size_t used = 0;
    int links = 0, step;
    if (snprintf(todo, sizeof todo, "%s", path) >= (int)sizeof todo) return errno = ENAMETOOLONG, -1;
    const char *rest = todo;
    done[0] = 0;
    while ((step = path_step(&rest, part)) > 0) {
        if (strcmp(part, "..") == 0) {
            char *slash = strrchr(done, '/');
            used = slash ? (size_t)(slash - done) : 0;
            done[used] = 0;
            continue;
        }
        int parent = open_in_root(root, used ? done : "/", O_PATH | O_DIRECTORY);
        if (parent < 0) return -1;
        struct stat info;
        int result = fstatat(parent, part, &info, AT_SYMLINK_NOFOLLOW);
        if (result == 0 && S_ISLNK(info.st_mode)) {
            ssize_t length = readlinkat(parent, part, target, sizeof target - 1);
            close(parent);
            if (length < 0) return -1;
            if (++links > MAX_LINKS) return errno = ELOOP, -1;
            target[length] = 0;
            if (target[0] == '/') done[used = 0] = 0;
            if (snprintf(next, sizeof next, "%s/%s", target, rest) >= (int)sizeof next)
                return errno = ENAMETOOLONG, -1;
            memcpy(todo, next, sizeof todo);
            rest = todo;
            continue;
        }
        if (result < 0 && errno == ENOENT) {
            if (is_folder || has_more(rest)) {
                result = mkdirat(parent, part, 0755);
            } else {
                result = openat(parent, part, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
                if (result >= 0) result = close(result);
            }
        }
        int error = errno;
        close(parent);
        errno = error;
        if (result < 0) return -1;
        if (used + strlen(part) + 2 > PATH_MAX) return errno = ENAMETOOLONG, -1;
        used += (size_t)sprintf(done + used, "/%s", part);
    }
    if (step == 0 && used == 0) strcpy(done, "/");
    return step;
}

/* Open `path` below the root (O_PATH), made with all above it where it is missing. */
int ensure(int root, const char *path, int is_folder) {
    static char place[PATH_MAX];
    uint64_t flags = O_PATH | (is_folder ? O_DIRECTORY : 0);
    int fd = open_in_root(root, path, flags);
    if (fd < 0 && errno == ENOENT) {
        if (make_path(root, path, is_folder, place) < 0) return -1;
        fd = open_in_root(root, place, flags);
    }
    struct stat info;
    if (fd >= 0 && !is_folder && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        close(fd);
        return errno = ENOTDIR, -1;
    }
    return fd;
}

/* A null device that is no file of the host's: the container's own, or a node on a file system of its own. */
int open_own_null(int root) {
    int fd = open_in_root(root, "/dev/null", O_PATH); /* what else lies there might block when it is opened */
    if (fd >= 0) {
        int good = is_null(fd);
        close(fd);
        if (good && (fd = open_in_root(root, "/dev/null", O_RDWR | O_NOCTTY)) >= 0) {
            if (is_null(fd)) return fd;
            close(fd);
        }
    }
    const char *options[] = {"nr_inodes", "2", "mode", "755", NULL};
    int folder = new_mount("tmpfs", "tmpfs", options, 0);
    if (folder < 0 || mknodat(folder, "null", S_IFCHR | 0666, makedev(1, 3)) < 0 ||
        (fd = openat(folder, "null", O_RDWR | O_CLOEXEC)) < 0)
        fail(K_OTHER, errno, "error making a null device");
    close(folder);
    return fd;
}

struct mount {
    const char *label, *destination;
    uint64_t flags, set, clear, all_set, all_clear;
};

static _Noreturn void mount_failed(const struct mount *m) {
    fail(K_MOUNT, errno, "error mounting \"%s\" to rootfs at \"%s\"", m->label, m->destination);
}

static void must(int result, const struct mount *m) {
    if (result < 0) mount_failed(m);
}

static void set_propagation(int fd, const struct mount *m) {
    for (uint64_t left = number(); left; left--) {
        uint64_t flag = number(), recursive = number();
        must(sys_mount_setattr(fd, 0, 0, flag, (int)recursive), m);
    }
}

/* Put the detached mount on its destination, made if it is missing; closes it unless it is /proc or /sys. */
static void attach(int root, const struct mount *m, int fd, int is_folder) {
    int target = ensure(root, m->destination, is_folder);
    must(target, m);
    if (m->flags & ORDINARY) {
        /* /proc and /sys are folders of the root, never links: what is looked up below must be the kernel's. */
        close(target);
        uint64_t how = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
        target = sys_openat2(root, m->destination, O_PATH | O_DIRECTORY | O_NOFOLLOW, how);
        must(target, m);
    } else {
        if (m->flags & MUST_BE_PROC && filesystem_type(fd) != PROC_SUPER)
            fail(K_MOUNT, 0, "\"%s\" cannot be mounted because it is not of type proc", m->destination);
        if (!(m->flags & MAY_COVER_PROC) && filesystem_type(target) == PROC_SUPER)
            fail(K_MOUNT, 0, "\"%s\" cannot be mounted because it is inside /proc", m->destination);
    }
    must(sys_move_mount(fd, target), m);
    close(target);
    if (m->flags & ON_PROC)
        proc_fd = fd;
    else if (m->flags & ON_SYS)
        sys_fd = fd;
    else
        close(fd);
}

static int read_new(const struct mount *m, unsigned attributes) {
    const char *type = string(), *source = string(), *options[2 * MAX_OPTIONS + 1];
    uint64_t count = number();
    if (count > MAX_OPTIONS) fail(K_OTHER, 0, "too many mount options at %s", m->destination);
    for (uint64_t i = 0; i < count; i++) {
        options[2 * i] = string();
        options[2 * i + 1] = number() ? string() : NULL;
    }
    options[2 * count] = NULL;
    int fd = new_mount(type, source, options, attributes);
    must(fd, m);
    return fd;
}

/* One cgroup2 mount, or a tmpfs with one folder for each v1 hierarchy. */
static void mount_cgroups(int root, const struct mount *m) {
    uint64_t mount_flags = number(), count = number();
    const char *options[] = {"mode", "755", NULL};
    int tmpfs = -1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t kind = number();
        if (kind == WHOLE) {
            int fd = number() ? sys_open_tree(AT_FDCWD, string(), OPEN_TREE_CLONE) : read_new(m, (unsigned)m->set);
            must(fd, m);
            must(sys_mount_setattr(fd, m->set, 0, MS_PRIVATE, 0), m);
            attach(root, m, fd, 1);
            continue;
        }
        if (tmpfs < 0) {
            tmpfs = new_mount("tmpfs", "tmpfs", options, (unsigned)m->set & ~ATTR_RDONLY);
            must(tmpfs, m);
            int copy = fcntl(tmpfs, F_DUPFD_CLOEXEC, 3);
            must(copy, m);
            attach(root, m, copy, 1);
            must(fchdir(tmpfs), m); /* its folders are ours alone, so a mount(2) by name finds no link */
        }
        const char *name = string(), *what = string();
        if (kind == LINK) {
            must(symlinkat(what, tmpfs, name), m);
            continue;
        }
        must(mkdirat(tmpfs, name, 0755), m);
        if (kind == HIERARCHY) {
            must(mount("cgroup", name, "cgroup", mount_flags, what), m);
            continue;
        }
        int fd = sys_open_tree(AT_FDCWD, what, OPEN_TREE_CLONE);
        must(fd, m);
        must(sys_mount_setattr(fd, m->set, 0, MS_PRIVATE, 0), m);
        int target = openat(tmpfs, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        must(target, m);
        must(sys_move_mount(fd, target), m);
        close(target);
        close(fd);
    }
    if (tmpfs < 0) return;
    if (m->set & ATTR_RDONLY) must(sys_mount_setattr(tmpfs, ATTR_RDONLY, 0, 0, 0), m);
    close(tmpfs);
    must(chdir("/"), m);
}

static void mount_one(int root) {
    struct mount m;
    uint64_t kind = number();
    m.label = string();
    m.destination = string();
    m.flags = number();
    m.set = number();
    m.clear = number();
    m.all_set = number();
    m.all_clear = number();
    if (kind == CGROUPS) {
        mount_cgroups(root, &m);
        return;
    }
    if (kind == NEW) {
        int fd = read_new(&m, (unsigned)m.set);
        if (m.all_set || m.all_clear) must(sys_mount_setattr(fd, m.all_set, m.all_clear, 0, 0), &m);
        set_propagation(fd, &m);
        attach(root, &m, fd, 1);
        return;
    }
    struct stat info;
    uint64_t position = number();
    if (position >= MAX_SOURCES) fail(K_OTHER, 0, "the request to the spawner names no source");
    int fd = sources[position];
    must(fstat(fd, &info), &m);
    if (m.all_set || m.all_clear) must(sys_mount_setattr(fd, m.all_set, m.all_clear, 0, 1), &m);
    if (m.set || m.clear) must(sys_mount_setattr(fd, m.set, m.clear, 0, 0), &m);
    set_propagation(fd, &m);
    attach(root, &m, fd, S_ISDIR(info.st_mode));
}

static void open_sources(void) {
    uint64_t count = number();
    if (count > MAX_SOURCES) fail(K_OTHER, 0, "too many bind mounts");
    for (uint64_t i = 0; i < count; i++) {
        struct mount m = {0};
        m.label = string();
        m.destination = string();
        unsigned recursive = number() ? AT_RECURSIVE : 0;
        sources[i] = sys_open_tree(AT_FDCWD, m.label, OPEN_TREE_CLONE | recursive);
        must(sources[i], &m);
    }
}

static void make_devices(int root) {
    uint64_t count = number(), with_links = number();
    if (!count && !with_links) return;
    int dev = ensure(root, "/dev", 1);
    if (dev < 0) fail(K_OTHER, errno, "error creating device nodes");
    for (; count; count--) {
        const char *folder = string(), *name = string();
        mode_t mode = (mode_t)number();
        dev_t device = (dev_t)number();
        uid_t uid = (uid_t)number();
        gid_t gid = (gid_t)number();
        int parent = strcmp(folder, "/dev") == 0 ? dev : ensure(root, folder, 1);
        int result = -1;
        if (parent >= 0) { /* the kernel takes 32 bits and would make another device of what has more */
            errno = EINVAL;
            result = device > UINT32_MAX ? -1 : mknodat(parent, name, mode, device);
        }
        if (result < 0 && parent >= 0 && errno == EEXIST) {
            struct stat info;
            result = fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW);
            if (result == 0 && ((info.st_mode & S_IFMT) != (mode & S_IFMT) || info.st_rdev != device)) {
                errno = EEXIST;
                result = -1;
            }
        }
        if (result == 0 && (uid || gid)) result = fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW);
        if (result < 0) fail(K_OTHER, errno, "error creating device %s/%s", folder, name);
        if (parent != dev) close(parent);
    }
    static const char *const links[][2] = {{"fd", "/proc/self/fd"},
                                           {"stdin", "/proc/self/fd/0"},
                                           {"stdout", "/proc/self/fd/1"},
                                           {"stderr", "/proc/self/fd/2"},
                                           {"ptmx", "pts/ptmx"},
                                           {"core", "/proc/kcore"}};
    size_t made = with_links ? sizeof links / sizeof *links - (access("/proc/kcore", F_OK) != 0) : 0;
    for (size_t i = 0; i < made; i++)
        if (symlinkat(links[i][1], dev, links[i][0]) < 0 && errno != EEXIST)
            fail(K_OTHER, errno, "error creating the links of /dev");
    close(dev);
}

/* Binds' sources, the root, its mounts and devices; the root's descriptor. */
int make_root(void) {
    umask(0);
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || !is_null(null_fd)) fail(K_OTHER, 0, "the host's /dev/null is not the null device");
    open_sources();
    const char *path = string(), *overlay = string(); /* no options: the folder itself, bound onto itself */
    int root = -1, target = -1;
    int bad = mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
              (*overlay && mount("overlay", path, "overlay", 0, overlay) < 0) ||
              (target = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0;
    if (!bad && *overlay) {
        root = target;
    } else if (!bad) {
        root = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE);
        bad = root < 0 || sys_mount_setattr(root, 0, 0, MS_SLAVE, 1) < 0 || sys_move_mount(root, target) < 0;
        if (!bad) close(target);
    }
    if (bad) fail(K_MOUNT, errno, "error mounting the root file system at %s", path);
    for (uint64_t count = number(); count; count--) mount_one(root);
    make_devices(root);
    return root;
}

static int open_existing(int root, const char *path) {
    int fd;
    if (proc_fd >= 0 && strncmp(path, "/proc/", 6) == 0)
        fd = open_in_root(proc_fd, path + 6, O_PATH);
    else if (sys_fd >= 0 && strncmp(path, "/sys/", 5) == 0)
        fd = open_in_root(sys_fd, path + 5, O_PATH);
    else
        fd = open_in_root(root, path, O_PATH);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR) fail(K_MOUNT, errno, "error opening %s in the container", path);
    return fd;
}

/* Hide a file behind /dev/null, a folder behind an empty read-only tmpfs. The first cover of a kind is made, the others
 * are copies of it: a copy of an attached mount is one call. */
void mask_paths(int root) {
    int covers[2] = {-1, -1};
    const char *options[] = {"nr_blocks", "1", "nr_inodes", "1", NULL};
    for (uint64_t count = number(); count; count--) {
        const char *path = string();
        int target = open_existing(root, path), cover = -1;
        if (target < 0) continue;
        struct stat info;
        int result = fstat(target, &info), is_folder = S_ISDIR(info.st_mode);
        if (result == 0 && covers[is_folder] >= 0) {
            cover = sys_open_tree(covers[is_folder], "", OPEN_TREE_CLONE);
        } else if (result == 0 && is_folder) {
            cover = new_mount("tmpfs", "tmpfs", options, ATTR_RDONLY);
        } else if (result == 0) {
            cover = sys_open_tree(null_fd, "", OPEN_TREE_CLONE);
            uint64_t flags = ATTR_RDONLY | ATTR_NOSUID | ATTR_NOEXEC;
            if (cover >= 0) result = sys_mount_setattr(cover, flags, 0, MS_PRIVATE, 0);
        }
        if (cover < 0 || result < 0 || sys_move_mount(cover, target) < 0)
            fail(K_MOUNT, errno, "error masking %s", path);
        close(target);
        if (covers[is_folder] < 0)
            covers[is_folder] = cover;
        else
            close(cover);
    }
    for (int i = 0; i < 2; i++)
        if (covers[i] >= 0) close(covers[i]);
}

void make_read_only(int root) {
    for (uint64_t count = number(); count; count--) {
        const char *path = string();
        int target = open_existing(root, path);
        if (target < 0) continue;
        int copy = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_RECURSIVE);
        if (copy < 0 || sys_mount_setattr(copy, ATTR_RDONLY, 0, 0, 1) < 0 || sys_move_mount(copy, target) < 0)
            fail(K_MOUNT, errno, "error making %s read-only", path);
        close(copy);
        close(target);
    }
}

/* Through a procfs of our own that nothing can be mounted over. */
void write_sysctls(void) {
    const char *none[] = {NULL};
    int proc = -1;
    for (uint64_t count = number(); count; count--) {
        const char *path = string(), *value = string(); /* path: sys/… */
        if (proc < 0 && (proc = new_mount("proc", "proc", none, 0)) < 0)
            fail(K_OTHER, errno, "error mounting a procfs for sysctls");
        int fd = sys_openat2(proc, path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
        if (fd < 0 || write(fd, value, strlen(value)) < 0)
            fail(K_OTHER, errno, "error writing '%s' to /proc/%s", value, path);
        close(fd);
    }
    if (proc >= 0) close(proc);
}

void pivot(int root) {
    uint64_t is_readonly = number(), propagation = number();
    if ((is_readonly && sys_mount_setattr(root, ATTR_RDONLY, 0, 0, 0) < 0) || fchdir(root) < 0 ||
        /* the old root now lies over the new one, at the same place */
        syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
        (propagation && mount(NULL, "/", NULL, propagation, NULL) < 0))
        fail(K_MOUNT, errno, "error changing the root");
}
