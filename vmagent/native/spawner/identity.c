/* Users and groups from the container's own /etc/passwd and /etc/group, by the rules of vmagent/runtime/users.py. The
 * files are the image's, so hostile: opened below the root, regular files only, bounded; lines are cut in a copy. */
#define _GNU_SOURCE
#include "spawner.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 16 << 20, MAX_FIELDS = 8 };
#define MAX_ID INT64_C(0x7fffffff)        /* docker's limit for a number that the file does not list */
#define MAX_KERNEL_ID INT64_C(0xfffffffe) /* -1 means "no change" to setresuid(2): root would stay root */

struct table {
    char *text, *end;
};

static struct identity found;

/* The file's text, NUL-terminated; empty if it is missing or not usable. */
static struct table read_table(int root, const char *path) {
    struct table none = {NULL, NULL};
    struct stat info;
    int fd = open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return none;
    char *text = MAP_FAILED;
    size_t used = 0, size = 0;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0 && info.st_size <= MAX_FILE) {
        size = (size_t)info.st_size;
        text = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    while (text != MAP_FAILED && used < size) {
        ssize_t done = read(fd, text + used, size - used);
        if (done <= 0) break;
        used += (size_t)done;
    }
    close(fd);
    if (text == MAP_FAILED) return none;
    text[used] = 0;
    return (struct table){text, text + used};
}

/* Split a copy of the next line at its colons; returns the number of fields, 0 at the end. The ninth and later fields are
 * dropped. */
static int next_record(char **at, char *end, char **fields, char **line, size_t *room) {
    while (*at < end) {
        char *start = *at, *stop = memchr(start, '\n', (size_t)(end - start));
        if (stop == NULL) stop = end;
        *at = stop < end ? stop + 1 : end;
        size_t length = (size_t)(stop - start);
        if (length == 0 || *start == '#' || memchr(start, 0, length) != NULL) continue;
        if (length + 1 > *room) {
            *room = 2 * length + 64;
            free(*line);
            *line = malloc(*room);
            if (*line == NULL) fail(K_USER, 0, "no memory for a line of the container's passwd or group file");
        }
        memcpy(*line, start, length);
        (*line)[length] = 0;
        int count = 0;
        for (char *field = *line; count < MAX_FIELDS; count++) {
            fields[count] = field;
            char *colon = strchr(field, ':');
            if (colon == NULL) return count + 1;
            *colon = 0;
            field = colon + 1;
        }
        return count;
    }
    return 0;
}

#define each_record(table)                                                                              \
    char *at_ = (table).text, *fields[MAX_FIELDS], *line_ = NULL;                                       \
    size_t room_ = 0;                                                                                   \
    for (int count; (count = next_record(&at_, (table).end, fields, &line_, &room_)) > 0;)

/* A decimal number of at most ten digits without leading zeros; -1 for other text. */
static int64_t to_number(const char *text) {
    if (!*text || text[strspn(text, "0123456789")]) return -1;
    text += strspn(text, "0");
    return strlen(text) > 10 ? -1 : strtoll(text, NULL, 10);
}

static int is_id(const char *field) {
    int64_t value = to_number(field);
    return value >= 0 && value <= MAX_KERNEL_ID;
}

/* The number that was given for a user or group that the file does not list. */
static uint32_t typed_id(const char *what, const char *file, const char *name) {
    if (!*name || name[strspn(name, "0123456789")])
        fail(K_USER, 0, "unable to find %s %s: no matching entries in %s file", what, name, file);
    int64_t value = to_number(name);
    if (value < 0 || value > MAX_ID) fail(K_USER, 0, "uids and gids must be in range 0-%lld", (long long)MAX_ID);
    return (uint32_t)value;
}

static void add_group(gid_t gid) {
    for (size_t i = 0; i < found.count; i++)
        if (found.groups[i] == gid) return;
    if (found.count == MAX_GROUPS) fail(K_USER, 0, "too many groups");
    found.groups[found.count++] = gid;
}

static gid_t find_group(struct table groups, const char *name) {
    each_record(groups) {
        if (count > 2 && (strcmp(fields[0], name) == 0 || strcmp(fields[2], name) == 0) && is_id(fields[2]))
            return (gid_t)to_number(fields[2]);
    }
    return typed_id("group", "group", name);
}

static int is_member(const char *members, const char *name) {
    size_t length = strlen(name);
    for (;; members++) {
        size_t own = until(members, ',');
        if (own == length && memcmp(members, name, length) == 0) return 1;
        members += own;
        if (!*members) return 0;
    }
}

/* Look up `name`; returns the name in its entry, "" if there is no entry. */
static const char *find_user(struct table passwd, const char *name) {
    each_record(passwd) {
        if (count <= 3 || (strcmp(fields[0], name) != 0 && strcmp(fields[2], name) != 0)) continue;
        if (!is_id(fields[2]) || !is_id(fields[3])) continue;
        found.uid = (uid_t)to_number(fields[2]);
        found.gid = (gid_t)to_number(fields[3]);
        found.home = count > 5 ? fields[5] : "";
        return fields[0];
    }
    found.gid = 0;
    found.uid = 0;
    if (*name) found.uid = typed_id("user", "passwd", name);
    return "";
}

static const char *find_home(struct table passwd) {
    char uid[16];
    snprintf(uid, sizeof uid, "%u", found.uid);
    each_record(passwd) {
        if (count > 5 && strcmp(fields[2], uid) == 0) return fields[5];
    }
    return "";
}

struct identity *look_up(int root, const struct process *process) {
    static gid_t groups[MAX_GROUPS];
    found.groups = groups;
    found.home = "";
    found.uid = process->uid;
    found.gid = process->gid;
    const char *known_as = "", *group = process->group;
    int is_named = process->user != NULL;
    struct table passwd = read_table(root, "/etc/passwd"), group_table = {NULL, NULL};
    if (is_named)
        known_as = find_user(passwd, process->user);
    else
        found.home = find_home(passwd);
    if (process->group_add_count || *group || *known_as) group_table = read_table(root, "/etc/group");
    if (is_named && *group) found.gid = find_group(group_table, group);
    if (!process->exact_groups || is_named) add_group(found.gid);
    for (size_t i = 0; i < process->groups_count; i++) add_group(process->groups[i]);
    if (is_named && !*group && *known_as) {
        each_record(group_table) {
            if (count > 3 && is_id(fields[2]) && is_member(fields[3], known_as))
                add_group((gid_t)to_number(fields[2]));
        }
    }
    for (size_t i = 0; i < process->group_add_count; i++) add_group(find_group(group_table, process->group_add[i]));
    if (!*found.home) found.home = "/";
    return &found;
}
