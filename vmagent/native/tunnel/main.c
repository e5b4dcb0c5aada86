/* tunnel PORT SERVICE=SOCKET...: the guest's end of the multiplexer (see tunnel.h).
 *   PORT            the virtio-serial port's device, or the number of an open descriptor
 *   SERVICE=SOCKET  a service of the host, and the Unix socket on which programs of the guest reach it
 * Ends only with an error; whoever started it starts it again. */
#define _GNU_SOURCE
#include "port.h"
#include "streams.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stderr, "tunnel: %s: %s\n", what, strerror(errno));
    return 1;
}

static int open_port(const char *name) {
    char *rest;
    long number = strtol(name, &rest, 10);
    if (*name && !*rest) {
        int flags = fcntl((int)number, F_GETFL);
        return flags < 0 || fcntl((int)number, F_SETFL, flags | O_NONBLOCK) < 0 ? -1 : (int)number;
    }
    return open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    umask(0177);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0) return -1;
    return fd;
}

static void watch(int epoll, int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = what};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) exit(fail("epoll_ctl"));
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 2 + SERVICES_LIMIT) {
        fprintf(stderr, "usage: tunnel PORT SERVICE=SOCKET...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files = {STREAMS_LIMIT + 64, STREAMS_LIMIT + 64};
    setrlimit(RLIMIT_NOFILE, &files); /* the streams' own limit is what a host notices */
    int port = open_port(argv[1]);
    if (port < 0) return fail(argv[1]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) return fail("epoll_create1");
    static char the_port; /* its address stands for it */
    streams_set_up(epoll);
    for (int i = 2; i < argc; i++) {
        char *path = strchr(argv[i], '=');
        if (!path || path == argv[i] || path - argv[i] >= SERVICE_SIZE) return fail(argv[i]);
        *path++ = 0;
        int listener = listen_at(path);
        if (listener < 0) return fail(path);
        watch(epoll, listener, streams_serve(argv[i], listener));
    }
    if (!port_open(port, &streams, epoll, &the_port)) return fail(argv[1]);
    for (;;) {
        bool is_busy = port_has_input() || (streams_are_ready() && port_has_room() && port_can_write());
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, is_busy ? 0 : streams_are_retrying() ? RETRY_MS : -1);
        if (count < 0 && errno != EINTR) return fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &the_port) port_event(events[i].events);
            else if (!streams_knock(events[i].data.ptr)) streams_event(events[i].data.ptr, events[i].events);
        }
        port_read();
        streams_accept();
        streams_retry();
        streams_pump();
        port_flush();
        streams_free_dead();
    }
}
