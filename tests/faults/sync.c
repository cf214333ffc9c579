/* fsync and fdatasync that are slow or fail, for a process that is started with this in LD_PRELOAD.
 *
 * The file named by SYNC_FAULT is read at each call: "delay 10" waits 10 ms first, "eio" fails with EIO as a
 * disk does that has lost a write; no file, or anything else, is a disk as it should be. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int fault(void)
{
    char word[16] = "";
    long ms = 0;
    const char *name = getenv("SYNC_FAULT");
    FILE *file = name ? fopen(name, "re") : NULL;
    if (!file)
        return 0;
    if (fscanf(file, "%15s %ld", word, &ms) < 1)
        word[0] = 0;
    fclose(file);
    if (!strcmp(word, "delay")) {
        struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    return !strcmp(word, "eio");
}

static int synced(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (fault()) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
