/* Faults that the checks must find: an analyzer or a sanitizer that is silent here is silent for nothing.

   `make analyze` reads this file with the core's; `make check-sanitizers` loads it into Python. */

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int read_past_the_end(int index);
int overflow(int number);
int count_by_hand(int times);
char *leak(const char *text);

/* AddressSanitizer's. */
int
read_past_the_end(int index)
{
    char *block = calloc(8, 1);
    int found = block == NULL ? 0 : block[8 + index];
    free(block);
    return found;
}

/* UndefinedBehaviorSanitizer's. */
int
overflow(int number)
{
    return INT_MAX - 1 + number;
}

/* ThreadSanitizer's, where two threads run it without a lock. */
int
count_by_hand(int times)
{
    static int counted;
    for (int i = 0; i < times; i++) {
        counted++;
    }
    return counted;
}

/* The analyzers': the copy is lost, and what is copied into may be NULL. */
char *
leak(const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    strcpy(copy, text);
    copy = NULL;
    return copy;
}
