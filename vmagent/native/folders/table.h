/* What the kernel knows of the shared folders: nodes (its inodes), their names, and open handles.
 *
 * A node is one file of the host, identified by device, inode and time of birth; so a file with several names is one node,
 * and an inode number that the host uses again is another node. */
#ifndef TABLE_H
#define TABLE_H
#include "clock.h"
#include "wire.h"
#include <stdbool.h>
#include <stddef.h>

#define PATH_LIMIT 32768

struct absence;
struct handle;

struct name {
    struct node *parent, *node;
    struct name *next_of_node, *next;
    uint64_t entered_at; /* tick */
    uint16_t length;
    char text[];
};

struct node {
    uint64_t id;
    uint64_t lookups; /* how many the kernel has of it */
    uint32_t refs;    /* names below it, handles, requests */
    bool is_detached; /* removed: its identity may be another file's by now */
    struct attributes attr;
    int64_t attr_until_ms;
    int64_t version[3];   /* size, mtime and ctime of what the kernel's pages hold */
    uint64_t changed_at;  /* tick of the last change from here */
    uint64_t updated_at;  /* tick: when the host said what `attr` has */
    struct name *names;
    struct handle *handles;
    struct absence *absence; /* of a folder all of whose names are known */
    bool has_pages;          /* the kernel's pages hold all of `version` */
    struct node *next_by_id, *next_by_key;
};

struct handle {
    uint64_t id;
    struct node *node;
    uint32_t flags; /* enum open_flags */
    bool is_folder, is_lost;
    bool is_on_host; /* has state there */
    /* Of a folder: the entries that the host has sent last. */
    uint8_t *entries;
    size_t length, at; /* of the entries; where the entry `cursor` begins */
    uint64_t first, count, cursor;
    bool is_last;
    uint64_t asked_at; /* tick */
    struct handle *next_of_node, *next;
};

bool is_same_file(const struct attributes *one, const struct attributes *other);

void table_set_up(void);
struct node *table_root(void);
struct node *node_find(uint64_t id);
/* The node of a file with these attributes, made if it is not known, named `name` in `parent`. */
struct node *node_named(struct node *parent, const char *name, size_t length, const struct attributes *attr);
/* Take over attributes that were asked for at `asked_at`. */
void node_update(struct node *node, const struct attributes *attr, uint64_t asked_at);
void node_changed(struct node *node);
void node_hold(struct node *node);
void node_release(struct node *node);
void node_forget(struct node *node, uint64_t lookups);
struct node *name_find(struct node *parent, const char *name, size_t length);
uint64_t name_entered_at(struct node *parent, const char *name, size_t length); /* tick; 0: it is not known */
/* The folder with that path from the root; NULL: the kernel does not know it. */
struct node *node_at(const char *path, size_t length);
void nodes_each(void (*visit)(struct node *node));
/* The name is gone from the host. A node that has no other is detached. */
void name_deleted(struct node *parent, const char *name, size_t length);
void name_moved(struct node *from, const char *name, size_t length, struct node *to, const char *as, size_t as_length);
void name_exchanged(struct node *one, const char *name, size_t length, struct node *other, const char *as,
                    size_t as_length);
/* Write the path of `node`, or of `name` in it, into `path` (PATH_LIMIT bytes). Returns its length, -1: it has none. */
long path_of(const struct node *node, const char *name, size_t length, char *path);

struct handle *handle_add(struct node *node, uint32_t flags, bool is_folder);
/* A number for a handle that is added when its node is known. */
uint64_t handle_reserve(void);
struct handle *handle_add_as(uint64_t id, struct node *node, uint32_t flags);
struct handle *handle_find(uint64_t id);
void handle_remove(struct handle *handle);
void handles_each(void (*visit)(struct handle *handle));
/* One of the node's open files, for writing if asked; NULL: there is none. */
struct handle *handle_of(const struct node *node, bool for_writing);

#endif
