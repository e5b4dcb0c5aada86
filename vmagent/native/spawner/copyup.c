/* `tmpcopyup`: copy the image's folder at a tmpfs's destination into the tmpfs, before it is mounted there. Uses
 * descriptors only: no path is resolved, and no link is followed. vmagent/runtime/copyup.py does the same. */
#define _GNU_SOURCE
#include "spawner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, MAX_NAMES = 1 << 16 }; /* the kernel's own limit of a list of attributes */

static int copy_folder(int from, int to);

static int copy_attributes(int from, int to) {
    ssize_t size = flistxattr(from, NULL, 0);
    if (size <= 0) return size < 0 && errno != ENOTSUP ? -1 : 0;
    char *names = malloc(MAX_NAMES), *value = malloc(MAX_NAMES);
    int result = names != NULL && value != NULL && (size = flistxattr(from, names, MAX_NAMES)) >= 0 ? 0 : -1;
    for (char *name = names; result == 0 && name < names + size; name += strlen(name) + 1) {
        if (strncmp(name, "user.", 5) != 0 && strcmp(name, "security.capability") != 0) continue;
        ssize_t length = fgetxattr(from, name, value, MAX_NAMES);
        if (length < 0 || fsetxattr(to, name, value, (size_t)length, 0) < 0) result = -1;
    }
    free(names);
    free(value);
    return result;
}

static int copy_file(const char *name, int from, int to) {
    int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int target = source < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (target < 0) return -1;
    ssize_t done;
    do
        done = sendfile(target, source, NULL, CHUNK);
    while (done > 0);
    if (done < 0 || copy_attributes(source, target) < 0) return -1;
    close(source);
    close(target);
    return 0;
}

static int copy_below(const char *name, int from, int to) {
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (mkdirat(to, name, 0700) < 0) return -1;
    int source = openat(from, name, flags), target = source < 0 ? -1 : openat(to, name, flags);
    if (target < 0 || copy_folder(source, target) < 0) return -1;
    close(target);
    return 0;
}

static int copy_link(const char *name, int from, int to) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length < 0) return -1;
    target[length] = 0;
    return symlinkat(target, to, name);
}

static int copy_entry(const char *name, int from, int to) {
    struct stat info;
    int result;
    if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    if (S_ISDIR(info.st_mode))
        result = copy_below(name, from, to);
    else if (S_ISLNK(info.st_mode))
        result = copy_link(name, from, to);
    else if (S_ISREG(info.st_mode))
        result = copy_file(name, from, to);
    else
        result = mknodat(to, name, info.st_mode, info.st_rdev);
    if (result < 0 || fchownat(to, name, info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    /* after the owner, whose change clears setuid */
    if (!S_ISLNK(info.st_mode) && fchmodat(to, name, info.st_mode & 07777, 0) < 0) return -1;
    struct timespec times[] = {info.st_atim, info.st_mtim};
    return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
}

/* Closes `from`. */
static int copy_folder(int from, int to) {
    DIR *folder = fdopendir(from);
    if (folder == NULL) return -1;
    struct dirent *entry;
    int result = 0;
    while (result == 0 && (errno = 0, entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = copy_entry(entry->d_name, from, to);
    int error = errno;
    closedir(folder);
    errno = error;
    return result == 0 && error == 0 ? 0 : -1;
}

/* Copy the folder at the destination, if there is one, into the detached mount. Sets errno. */
int copy_up(int root, const char *destination, int mount) {
    int source = open_in_root(root, destination, O_RDONLY | O_DIRECTORY);
    if (source < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    int own = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = own < 0 ? -1 : copy_folder(source, own);
    if (own >= 0) close(own);
    return result;
}
