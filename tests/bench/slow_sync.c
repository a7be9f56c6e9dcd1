// Makes every sync of a program take longer by SLOW_SYNC_US microseconds: preloaded, it stands in for a disk that is slower
// than the one at hand. Built and used by stages.sh.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int later(const char *name, int file) {
    static long delay = -1;
    if (delay < 0) {
        const char *text = getenv("SLOW_SYNC_US");
        delay = text ? atol(text) : 0;
    }
    int answer = ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
    struct timespec rest = {delay / 1000000, delay % 1000000 * 1000};
    nanosleep(&rest, NULL);
    return answer;
}

int fsync(int file) { return later("fsync", file); }
int fdatasync(int file) { return later("fdatasync", file); }
