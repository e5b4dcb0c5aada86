/* The container's file system, step by step as vmagent/runtime/rootfs.py makes it.
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

enum { MAX_LINKS = 40, PAGE = 4096 };

static int null_fd, proc_fd = -1, sys_fd = -1;
static int *sources; /* detached copies for the bind mounts, by the position of the mount */

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

/* Make the missing parts of `path`; `done` gets the resolved path, without links. */
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

/* A null device that is not the host's file: the container's /dev/null, or a node on a new tmpfs. */
int open_own_null(int root) {
    int fd = open_in_root(root, "/dev/null", O_PATH); /* another kind of file might block the open */
    if (fd >= 0) {
        int good = is_null(fd);
        close(fd);
        if (good && (fd = open_in_root(root, "/dev/null", O_RDWR | O_NOCTTY)) >= 0) {
            if (is_null(fd)) return fd;
            close(fd);
        }
    }
    const struct option options[] = {{"nr_inodes", "2"}, {"mode", "755"}};
    int folder = new_mount("tmpfs", "tmpfs", options, 2, 0);
    if (folder < 0 || mknodat(folder, "null", S_IFCHR | 0666, makedev(1, 3)) < 0 ||
        (fd = openat(folder, "null", O_RDWR | O_CLOEXEC)) < 0)
        fail(K_OTHER, errno, "error making a null device");
    close(folder);
    return fd;
}

/* The fields that all kinds of mounts have. */
struct target {
    const char *label, *destination;
    uint32_t place;
};

#define target_of(mount) ((struct target){(mount)->label, (mount)->destination, (mount)->place})

static void must(int result, struct target t) {
    if (result < 0) fail(K_MOUNT, errno, "error mounting \"%s\" to rootfs at \"%s\"", t.label, t.destination);
}

static void set_propagation(int fd, const struct propagation *changes, size_t count, struct target t) {
    for (size_t i = 0; i < count; i++) must(sys_mount_setattr(fd, 0, 0, changes[i].flag, changes[i].recursive), t);
}

/* Put the detached mount on its destination, made if it is missing; closes it unless it is /proc or /sys. */
static void attach(int root, struct target t, int fd, int is_folder) {
    int target = ensure(root, t.destination, is_folder);
    must(target, t);
    if (t.place & ORDINARY) {
        /* Refuse a link at /proc or /sys: paths below them must later lead to the kernel's file systems. */
        close(target);
        uint64_t how = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
        target = sys_openat2(root, t.destination, O_PATH | O_DIRECTORY | O_NOFOLLOW, how);
        must(target, t);
    } else {
        if (t.place & MUST_BE_PROC && filesystem_type(fd) != PROC_SUPER)
            fail(K_MOUNT, 0, "\"%s\" cannot be mounted because it is not of type proc", t.destination);
        if (!(t.place & MAY_COVER_PROC) && filesystem_type(target) == PROC_SUPER)
            fail(K_MOUNT, 0, "\"%s\" cannot be mounted because it is inside /proc", t.destination);
    }
    must(sys_move_mount(fd, target), t);
    close(target);
    if (t.place & ON_PROC)
        proc_fd = fd;
    else if (t.place & ON_SYS)
        sys_fd = fd;
    else
        close(fd);
}

static void attach_cgroup(int root, const struct cgroup_mount *m, int fd) {
    set_propagation(fd, m->propagation, m->propagation_count, target_of(m));
    attach(root, target_of(m), fd, 1);
}

static int bound_cgroup(const char *source, const struct cgroup_mount *m) {
    int fd = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE);
    must(fd, target_of(m));
    must(sys_mount_setattr(fd, m->attributes, 0, MS_PRIVATE, 0), target_of(m));
    return fd;
}

static void mount_hierarchy(int tmpfs, const struct cgroup_mount *m, const struct shown_cgroup *shown) {
    struct target t = target_of(m);
    if (shown->kind == CGROUP_LINK) {
        must(symlinkat(shown->cgroup_link.target, tmpfs, shown->cgroup_link.name), t);
        return;
    }
    const char *folder = shown->kind == CGROUP_HIERARCHY ? shown->cgroup_hierarchy.folder : shown->cgroup_bind.folder;
    must(mkdirat(tmpfs, folder, 0755), t);
    if (shown->kind == CGROUP_HIERARCHY) { /* relative to the tmpfs, see mount_cgroups */
        must(mount("cgroup", folder, "cgroup", m->mount_flags, shown->cgroup_hierarchy.options), t);
        return;
    }
    int fd = bound_cgroup(shown->cgroup_bind.source, m);
    int target = openat(tmpfs, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    must(target, t);
    must(sys_move_mount(fd, target), t);
    close(target);
    close(fd);
}

/* One cgroup2 mount, or a tmpfs with one folder for each v1 hierarchy. */
static void mount_cgroups(int root, const struct cgroup_mount *m, const struct shown_cgroup *shown, size_t count) {
    struct target t = target_of(m);
    const struct option options[] = {{"mode", "755"}};
    int tmpfs = -1;
    for (size_t i = 0; i < count; i++) {
        if (shown[i].kind == CGROUP_ROOT) {
            const struct cgroup_root *whole = &shown[i].cgroup_root;
            int fd = new_mount(whole->fstype, "cgroup", whole->options, whole->options_count, m->attributes);
            must(fd, t);
            attach_cgroup(root, m, fd);
            continue;
        }
        if (shown[i].kind == CGROUP_WHOLE) {
            attach_cgroup(root, m, bound_cgroup(shown[i].cgroup_whole.source, m));
            continue;
        }
        if (tmpfs < 0) {
            tmpfs = new_mount("tmpfs", "tmpfs", options, 1, m->attributes & ~(uint64_t)ATTR_RDONLY);
            must(tmpfs, t);
            int copy = fcntl(tmpfs, F_DUPFD_CLOEXEC, 3);
            must(copy, t);
            attach_cgroup(root, m, copy);
            must(fchdir(tmpfs), t); /* only this process can change its folders, so mount(2) by path meets no link */
        }
        mount_hierarchy(tmpfs, m, &shown[i]);
    }
    if (tmpfs < 0) return;
    if (m->attributes & ATTR_RDONLY) must(sys_mount_setattr(tmpfs, ATTR_RDONLY, 0, 0, 0), t);
    close(tmpfs);
    must(chdir("/"), t);
}

static void mount_new(int root, const struct new_mount *m) {
    struct target t = target_of(m);
    int fd = new_mount(m->fstype, m->source, m->options, m->options_count, m->copies_up ? 0 : m->attributes);
    must(fd, t);
    if (m->copies_up) {
        if (copy_up(root, m->destination, fd) < 0)
            fail(K_MOUNT, errno, "error copying %s into its tmpfs", m->destination);
        must(sys_mount_setattr(fd, m->attributes, 0, 0, 0), t);
    }
    if (m->all_set || m->all_cleared) must(sys_mount_setattr(fd, m->all_set, m->all_cleared, 0, 0), t);
    set_propagation(fd, m->propagation, m->propagation_count, t);
    attach(root, t, fd, 1);
}

static void mount_bound(int root, const struct bind_mount *m, int fd) {
    struct target t = target_of(m);
    struct stat info;
    must(fstat(fd, &info), t);
    if (m->all_set || m->all_cleared) must(sys_mount_setattr(fd, m->all_set, m->all_cleared, 0, 1), t);
    if (m->attributes || m->cleared) must(sys_mount_setattr(fd, m->attributes, m->cleared, 0, 0), t);
    set_propagation(fd, m->propagation, m->propagation_count, t);
    attach(root, t, fd, S_ISDIR(info.st_mode));
}

/* Change the attributes of what is mounted at the destination already. */
static void change_mount(int root, const struct remount *m) {
    struct target t = target_of(m);
    int fd = open_in_root(root, m->destination, O_PATH);
    must(fd, t);
    must(sys_mount_setattr(fd, m->attributes, m->cleared, 0, 0), t);
    if (m->all_set || m->all_cleared) must(sys_mount_setattr(fd, m->all_set, m->all_cleared, 0, 1), t);
    set_propagation(fd, m->propagation, m->propagation_count, t);
    close(fd);
}

static void mount_all(int root, const struct start_request *request) {
    for (size_t i = 0; i < request->rootfs.mounts_count; i++) {
        const struct mount *m = &request->rootfs.mounts[i];
        if (m->kind == NEW_MOUNT) mount_new(root, &m->new_mount);
        if (m->kind == BIND_MOUNT) mount_bound(root, &m->bind_mount, sources[i]);
        if (m->kind == CGROUP_MOUNT)
            mount_cgroups(root, &m->cgroup_mount, request->shown_cgroups, request->shown_cgroups_count);
        if (m->kind == REMOUNT) change_mount(root, &m->remount);
    }
}

/* Call it before the mount tree is made a slave of the host's: a copy made now remains a peer of its source, as
 * `rshared` and `rslave` require. */
static void open_sources(const struct rootfs *plan) {
    sources = allocate(plan->mounts_count, sizeof *sources);
    for (size_t i = 0; i < plan->mounts_count; i++) {
        const struct bind_mount *m = &plan->mounts[i].bind_mount;
        if (plan->mounts[i].kind != BIND_MOUNT) continue;
        sources[i] = sys_open_tree(AT_FDCWD, m->label, OPEN_TREE_CLONE | (m->recursive ? AT_RECURSIVE : 0));
        must(sources[i], target_of(m));
    }
}

static int make_node(int parent, const struct device *d) {
    int result = -1;
    errno = EINVAL; /* the kernel takes 32 bits and would make another device of a number that has more */
    if (d->device <= UINT32_MAX) result = mknodat(parent, d->name, d->mode, d->device);
    if (result < 0 && errno == EEXIST) {
        struct stat info;
        result = fstatat(parent, d->name, &info, AT_SYMLINK_NOFOLLOW);
        if (result == 0 && ((info.st_mode & S_IFMT) != (d->mode & S_IFMT) || info.st_rdev != d->device)) {
            errno = EEXIST;
            result = -1;
        }
    }
    if (result == 0 && (d->uid || d->gid)) result = fchownat(parent, d->name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW);
    return result;
}

static void make_devices(int root, const struct rootfs *plan) {
    static const char *const links[][2] = {{"fd", "/proc/self/fd"},
                                           {"stdin", "/proc/self/fd/0"},
                                           {"stdout", "/proc/self/fd/1"},
                                           {"stderr", "/proc/self/fd/2"},
                                           {"ptmx", "pts/ptmx"},
                                           {"core", "/proc/kcore"}};
    if (!plan->devices_count && !plan->default_links) return;
    int dev = ensure(root, "/dev", 1);
    if (dev < 0) fail(K_OTHER, errno, "error creating device nodes");
    for (size_t i = 0; i < plan->devices_count; i++) {
        const struct device *d = &plan->devices[i];
        int parent = strcmp(d->folder, "/dev") == 0 ? dev : ensure(root, d->folder, 1);
        if (parent < 0 || make_node(parent, d) < 0)
            fail(K_OTHER, errno, "error creating device %s/%s", d->folder, d->name);
        if (parent != dev) close(parent);
    }
    size_t made = plan->default_links ? sizeof links / sizeof *links - (access("/proc/kcore", F_OK) != 0) : 0;
    for (size_t i = 0; i < made; i++)
        if (symlinkat(links[i][1], dev, links[i][0]) < 0 && errno != EEXIST)
            fail(K_OTHER, errno, "error creating the links of /dev");
    close(dev);
}

static const char *overlay_options(const char *const *lowers, size_t count, const char *upper, const char *work,
                                   int is_volatile) {
    size_t size = 64 + strlen(upper) + strlen(work);
    for (size_t i = 0; i < count; i++) size += strlen(lowers[i]) + 1;
    char *options = allocate(size, 1), *at = options;
    /* index=off: otherwise an upper folder is busy while a dying mount namespace still has it mounted */
    at += sprintf(at, "%sindex=off,lowerdir=", is_volatile ? "volatile," : "");
    for (size_t i = 0; i < count; i++) at += sprintf(at, i ? ":%s" : "%s", lowers[i]);
    if (*upper) sprintf(at, ",upperdir=%s,workdir=%s", upper, work);
    return options;
}

static const char *short_name(const char *path) {
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return NULL;
    char *name = allocate(32, 1);
    snprintf(name, 32, "/proc/self/fd/%d", fd);
    return name;
}

static int mount_overlay(const char *target, const struct overlay *overlay) {
    size_t count = overlay->lowers_count;
    const char **names = allocate(count + 2, sizeof *names);
    memcpy(names, overlay->lowers, count * sizeof *names);
    names[count] = overlay->upper;
    names[count + 1] = overlay->work;
    const char *options = overlay_options(names, count, names[count], names[count + 1], overlay->is_volatile);
    int is_special = strlen(options) >= PAGE;
    for (size_t i = 0; i < count + 2; i++) is_special = is_special || names[i][strcspn(names[i], ":,\\")];
    if (is_special) { /* mount(2) takes one page of options, and these characters are separators there */
        for (size_t i = 0; i < count + (*overlay->upper ? 2 : 0); i++)
            if ((names[i] = short_name(names[i])) == NULL) return -1;
        options = overlay_options(names, count, names[count], names[count + 1], overlay->is_volatile);
    }
    return mount("overlay", target, "overlay", 0, options);
}

/* Open the sources of binds, make the root with its mounts and devices; returns the root's descriptor. */
int make_root(const struct start_request *request) {
    const struct rootfs *plan = &request->rootfs;
    umask(0);
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || !is_null(null_fd)) fail(K_OTHER, 0, "the host's /dev/null is not the null device");
    open_sources(plan);
    int root = -1, target = -1;
    int bad = mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
              (plan->overlay && mount_overlay(plan->path, plan->overlay) < 0) ||
              (target = open(plan->path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0;
    if (!bad && plan->overlay) {
        root = target;
    } else if (!bad) { /* the folder itself, bound onto itself */
        root = sys_open_tree(AT_FDCWD, plan->path, OPEN_TREE_CLONE | AT_RECURSIVE);
        bad = root < 0 || sys_mount_setattr(root, 0, 0, MS_SLAVE, 1) < 0 || sys_move_mount(root, target) < 0;
        if (!bad) close(target);
    }
    if (bad) fail(K_MOUNT, errno, "error mounting the root file system at %s", plan->path);
    mount_all(root, request);
    make_devices(root, plan);
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
void mask_paths(int root, const struct rootfs *plan) {
    int covers[2] = {-1, -1};
    const struct option options[] = {{"nr_blocks", "1"}, {"nr_inodes", "1"}};
    for (size_t n = 0; n < plan->masked_count; n++) {
        const char *path = plan->masked[n];
        int target = open_existing(root, path), cover = -1;
        if (target < 0) continue;
        struct stat info;
        int result = fstat(target, &info), is_folder = S_ISDIR(info.st_mode);
        if (result == 0 && covers[is_folder] >= 0) {
            cover = sys_open_tree(covers[is_folder], "", OPEN_TREE_CLONE);
        } else if (result == 0 && is_folder) {
            cover = new_mount("tmpfs", "tmpfs", options, 2, ATTR_RDONLY);
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

void make_read_only(int root, const struct rootfs *plan) {
    for (size_t i = 0; i < plan->readonly_paths_count; i++) {
        const char *path = plan->readonly_paths[i];
        int target = open_existing(root, path);
        if (target < 0) continue;
        int copy = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_RECURSIVE);
        if (copy < 0 || sys_mount_setattr(copy, ATTR_RDONLY, 0, 0, 1) < 0 || sys_move_mount(copy, target) < 0)
            fail(K_MOUNT, errno, "error making %s read-only", path);
        close(copy);
        close(target);
    }
}

/* Make read-only each tmpfs that had to stay writable until all was made in it. */
void finish_tmpfs(int root, const struct rootfs *plan) {
    for (size_t i = 0; i < plan->late_read_only_count; i++) {
        int target = open_in_root(root, plan->late_read_only[i], O_PATH);
        if (target < 0 || sys_mount_setattr(target, ATTR_RDONLY, 0, 0, 0) < 0)
            fail(K_MOUNT, errno, "error making %s read-only", plan->late_read_only[i]);
        close(target);
    }
}

/* Write kernel parameters through a new, detached procfs: no mount of the container can cover its files. */
void write_sysctls(const struct rootfs *plan) {
    if (!plan->sysctls_count) return;
    int proc = new_mount("proc", "proc", NULL, 0, 0);
    int sys = proc < 0 ? -1 : sys_openat2(proc, "sys", O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (sys < 0) fail(K_OTHER, errno, "error mounting a procfs for sysctls");
    for (size_t i = 0; i < plan->sysctls_count; i++) {
        const struct sysctl *setting = &plan->sysctls[i];
        int fd = sys_openat2(sys, setting->path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
        if (fd < 0 || write(fd, setting->value, strlen(setting->value)) < 0)
            fail(K_OTHER, errno, "error writing '%s' to /proc/sys/%s", setting->value, setting->path);
        close(fd);
    }
    close(sys);
    close(proc);
}

void pivot(int root, const struct rootfs *plan) {
    if ((plan->readonly && sys_mount_setattr(root, ATTR_RDONLY, 0, 0, 0) < 0) || fchdir(root) < 0 ||
        /* the old root is now mounted over the new one */
        syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
        (plan->propagation && mount(NULL, "/", NULL, plan->propagation, NULL) < 0))
        fail(K_MOUNT, errno, "error changing the root");
}
