#define _GNU_SOURCE
#include "replay.h"
#include "replies.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define JOB_HEAD 8 /* kind (u32), mode (u32); the path follows */
#define BUCKETS 4096

/* What is to be repeated of one name: as long as it has not begun, later changes go into the same job. */
struct job {
    uint32_t kinds, kind; /* all that is left, and the one that is under way; in the order of `order` */
    uint32_t removed_mode;
    struct node *parent; /* held */
    struct attributes attr;
    uint64_t added_at; /* tick */
    struct job *next, *next_in_bucket;
    char name[];
};

static const uint32_t order[] = {CHANGE_DELETED, CHANGE_CREATED, CHANGE_MODIFIED, CHANGE_ATTRIB, CHANGE_CLOSED};

static struct {
    int fd;
    pid_t pid;
    struct job *first, **last;
    struct job *buckets[BUCKETS]; /* those that have not begun */
    bool is_busy;                 /* with the first one */
} all;

static const char *the_mount;

/* --- the process */

static void repeat(uint32_t kind, uint32_t mode, const char *path) {
    struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    int fd = -1;
    switch (kind) {
    case CHANGE_DELETED:
        unlinkat(AT_FDCWD, path, S_ISDIR(mode) ? AT_REMOVEDIR : 0);
        break;
    case CHANGE_CREATED:
        if (S_ISDIR(mode)) mkdir(path, mode & 07777);
        else if (S_ISLNK(mode)) symlink("-", path);
        else mknod(path, mode & (S_IFMT | 07777), 0);
        break;
    case CHANGE_MODIFIED: /* opened, so that the kernel drops the pages that it keeps; then IN_MODIFY */
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        now[0].tv_nsec = UTIME_OMIT;
        utimensat(AT_FDCWD, path, now, AT_SYMLINK_NOFOLLOW);
        break;
    case CHANGE_ATTRIB:
        utimensat(AT_FDCWD, path, now, AT_SYMLINK_NOFOLLOW);
        break;
    case CHANGE_CLOSED:
        fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        break;
    }
    if (fd >= 0) close(fd);
}

static _Noreturn void run(int fd) {
    static char packet[JOB_HEAD + PATH_LIMIT + 4096], path[sizeof packet + 4096];
    for (;;) {
        ssize_t count = recv(fd, packet, sizeof packet - 1, 0);
        if (count < JOB_HEAD) _exit(0); /* the client has ended */
        packet[count] = 0;
        uint32_t kind, mode;
        memcpy(&kind, packet, 4);
        memcpy(&mode, packet + 4, 4);
        snprintf(path, sizeof path, "%s/%s", the_mount, packet + JOB_HEAD);
        repeat(kind, mode, path);
        if (send(fd, "", 1, MSG_NOSIGNAL) < 0) _exit(0);
    }
}

bool replay_set_up(const char *mount_point) {
    int ends[2];
    the_mount = mount_point;
    all.last = &all.first;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return false;
    int size = 256 * 1024;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if ((all.pid = fork()) < 0) return false;
    if (!all.pid) {
        if (dup2(ends[1], 3) < 0 || syscall(SYS_close_range, 4u, ~0u, 0) < 0) _exit(1); /* /dev/fuse among them */
        prctl(PR_SET_NAME, "folders-replay");
        umask(0);
        run(3);
    }
    close(ends[1]);
    all.fd = ends[0];
    return true;
}

/* --- the client */

static struct job **waiting(const struct node *parent, const char *name) {
    uint64_t hash = parent->id;
    for (const char *c = name; *c; c++) hash = hash * 131 + (unsigned char)*c;
    struct job **at = &all.buckets[hash % BUCKETS];
    while (*at && ((*at)->parent != parent || strcmp((*at)->name, name) != 0)) at = &(*at)->next_in_bucket;
    return at;
}

static void drop_first(void) {
    struct job *job = all.first;
    all.first = job->next;
    if (!all.first) all.last = &all.first;
    node_release(job->parent);
    free(job);
}

/* Whether the change is still to be told: the guest itself may have made something new of that name. */
static bool is_valid(const struct job *job) {
    return job->kind != CHANGE_DELETED || name_entered_at(job->parent, job->name, strlen(job->name)) <= job->added_at;
}

static bool begin(struct job *job) {
    static char packet[JOB_HEAD + PATH_LIMIT];
    uint32_t mode = job->kind == CHANGE_DELETED ? job->removed_mode : job->attr.mode;
    long length = path_of(job->parent, job->name, strlen(job->name), packet + JOB_HEAD);
    memcpy(packet, &job->kind, 4);
    memcpy(packet + 4, &mode, 4);
    return length >= 0 && is_valid(job) &&
           send(all.fd, packet, JOB_HEAD + (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void begin_next(void) {
    while (!all.is_busy && all.first) {
        struct job *job = all.first, **at = waiting(job->parent, job->name);
        if (*at == job) *at = job->next_in_bucket;
        job->kind = 0;
        for (size_t i = 0; i < sizeof order / sizeof *order && !job->kind; i++) job->kind = job->kinds & order[i];
        job->kinds &= ~job->kind;
        if (!job->kind) drop_first();
        else all.is_busy = begin(job);
    }
}

struct pollfd replay_poll(void) { return (struct pollfd){.fd = all.fd, .events = POLLIN}; }

void replay_work(short events) {
    char done;
    if (events && all.is_busy && recv(all.fd, &done, 1, MSG_DONTWAIT) > 0) all.is_busy = false;
    else if (events & (POLLHUP | POLLERR)) all.fd = -1; /* it has ended: no events any more, all else goes on */
    begin_next();
}

/* What is left to tell when `kinds` come after those that wait. */
static uint32_t merged(uint32_t before, uint32_t kinds) {
    if (kinds & CHANGE_CREATED) return before & CHANGE_CREATED ? before | (kinds & ~CHANGE_DELETED) : kinds;
    if (!(kinds & CHANGE_DELETED)) return before | kinds;
    bool was_unknown = before & CHANGE_CREATED && !(before & CHANGE_DELETED);
    return was_unknown ? 0 : CHANGE_DELETED; /* it came and went */
}

static struct job *job_for(struct node *parent, const char *name) {
    struct job **at = waiting(parent, name);
    if (*at) return *at;
    struct job *job = calloc(1, sizeof *job + strlen(name) + 1);
    if (!job) abort();
    job->parent = parent;
    strcpy(job->name, name);
    node_hold(parent);
    *at = *all.last = job;
    all.last = &job->next;
    return job;
}

void replay_add(struct node *parent, const char *name, uint32_t kinds, bool is_folder, const struct attributes *attr) {
    struct node *node = name_find(parent, name, strlen(name));
    node_changed(parent);
    if (node) {
        node_changed(node);
        if (kinds & CHANGE_MODIFIED) node->version[0] = -1;
    }
    if (all.fd < 0) return;
    struct job *job = job_for(parent, name);
    if (kinds & CHANGE_DELETED && !(job->kinds & CHANGE_DELETED))
        job->removed_mode = node ? node->attr.mode : is_folder ? S_IFDIR : S_IFREG;
    job->kinds = merged(job->kinds, kinds);
    job->attr = *attr;
    job->added_at = ++tick;
    begin_next();
}

static void reply_node(const struct call *call, const struct job *job, struct node *node) {
    bool is_current = job->parent->changed_at <= job->added_at;
    reply_entry(call->head->unique, node, &node->attr, is_current ? node->attr.valid_ms : 0, call->head->uid,
                call->head->gid);
}

static bool serve_lookup(const struct call *call, struct job *job) {
    struct node *node = name_find(job->parent, job->name, strlen(job->name));
    if (job->kind == CHANGE_CREATED) {
        reply_error(call->head->unique, ENOENT);
        return true;
    }
    if (job->kind != CHANGE_DELETED) return false;
    if (!node) { /* the guest knows nothing of it: something that can be removed */
        struct attributes any = {.ino = ++tick, .dev = UINT64_MAX, .mode = job->removed_mode | 0600, .nlink = 1};
        node = node_named(job->parent, job->name, strlen(job->name), &any);
    }
    reply_entry(call->head->unique, node, &node->attr, 0, call->head->uid, call->head->gid);
    return true;
}

/* Take over what the host has told of the change, unless it has said something newer since: a file that is written to
 * may have been told of when half of it was there. */
static void update(struct node *node, const struct job *job) {
    bool is_older = job->attr.ctime < node->attr.ctime ||
                    (job->attr.ctime == node->attr.ctime && node->updated_at > job->added_at);
    if (!is_older) node_update(node, &job->attr, job->added_at);
}

bool replay_serve(const struct call *call) {
    if ((pid_t)call->head->pid != all.pid || !all.is_busy) return false;
    struct job *job = all.first;
    const char *name = job->name;
    struct fuse_open_out opened = {0}; /* without FOPEN_KEEP_CACHE */
    switch (call->head->opcode) {
    case FUSE_LOOKUP:
        return call->node == job->parent && strcmp(call->text, name) == 0 && serve_lookup(call, job);
    case FUSE_UNLINK:
    case FUSE_RMDIR:
        name_deleted(job->parent, name, strlen(name));
        reply_error(call->head->unique, 0);
        return true;
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK: {
        struct node *node = node_named(job->parent, name, strlen(name), &job->attr);
        update(node, job);
        reply_node(call, job, node);
        return true;
    }
    case FUSE_SETATTR:
        if (is_same_file(&call->node->attr, &job->attr)) update(call->node, job);
        reply_attr(call->head->unique, call->node, call->head->uid, call->head->gid);
        return true;
    case FUSE_OPEN:
        if (job->kind == CHANGE_CLOSED) opened.open_flags = FOPEN_KEEP_CACHE;
        reply_bytes(call->head->unique, &opened, sizeof opened);
        return true;
    }
    return false;
}
