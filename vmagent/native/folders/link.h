/* The connection with the file server, and the requests that wait for its reply. A request outlives a connection that
 * breaks: it is sent again on the next one, and fails with EIO when there is none for too long. */
#ifndef LINK_H
#define LINK_H
#include "table.h"
#include <poll.h>

struct request;
typedef void reply_handler(struct request *request, int error, const uint8_t *body, size_t length);

/* One request of ours, and the request of the kernel that it is for. */
struct request {
    uint64_t number;
    uint64_t unique; /* the kernel's number; 0: it does not wait, or no more */
    uint32_t opcode; /* the kernel's */
    uint32_t uid, gid;
    uint64_t asked_at;   /* tick */
    int64_t asked_at_ms;
    bool is_interrupted, is_sent;
    struct node *node, *other; /* held while the request lasts */
    struct handle *handle;     /* made for this request */
    uint64_t offset, folder;
    uint32_t size;
    const char *name, *other_name; /* copies */
    reply_handler *on_reply;
    uint8_t *frame;
    size_t length, capacity;
    struct request *next, *previous; /* in the order of their numbers */
};

/* What is made of the connection's events. */
struct link_events {
    void (*connected)(void); /* what the host had to tell meanwhile is lost, and it may watch no folder yet */
    void (*notice)(int kind, const uint8_t *body, size_t length);
    /* Reply to the kernel with `error`: what the host replies later is not for it. */
    void (*give_up)(uint64_t unique, int error);
};

void link_on(struct link_events events);
/* `fd`: a connected socket, whose end is the end; or -1: connect to `path`, again and again. A request waits for `limit_ms`
 * for a connection, or for a host that does not reply. */
void link_set_up(int fd, const char *path, int limit_ms);
/* What to poll, and when to come back at the latest (ms, -1: never). */
struct pollfd link_poll(void);
int link_wait_ms(void);
/* Returns false when the connection has ended for good. */
bool link_work(short events);
bool link_has_room(void);
bool link_is_ready(void); /* requests go to the host at once */
void link_on_interrupt(uint64_t unique);

struct request *request_new(enum operation operation, reply_handler *on_reply);
void put_u32(struct request *request, uint32_t value);
void put_u64(struct request *request, uint64_t value);
void put_bytes(struct request *request, const void *bytes, size_t length);
void put_string(struct request *request, const char *text, size_t length);
/* Of `node`, or of `name` in it. Returns false where it has none: then the request is not to be sent. */
bool put_path(struct request *request, const struct node *node, const char *name);
void request_send(struct request *request);
void request_free(struct request *request); /* not sent yet */
/* Send a request that has no reply. */
void request_cast(struct request *request);

#endif
