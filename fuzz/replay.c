/* Runs a fuzz target over files, each once; for machines without libFuzzer. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>

static int
run_file(const char *path)
{
    int status = -1;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        goto done;
    }
    long size = ftell(file);
    /* Exactly as long as the input, as libFuzzer's are. */
    uint8_t *data = size < 0 ? NULL : malloc((size_t)size > 0 ? (size_t)size : 1);
    if (data == NULL) {
        goto done;
    }
    rewind(file);
    if (fread(data, 1, (size_t)size, file) == (size_t)size) {
        fprintf(stderr, "replay: %s\n", path);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        status = 0;
    }
    free(data);

done:
    if (status < 0) {
        perror(path);
    }
    if (file != NULL) {
        fclose(file);
    }
    return status;
}

int
main(int argument_count, char **arguments)
{
    LLVMFuzzerInitialize(&argument_count, &arguments);
    for (int i = 1; i < argument_count; i++) {
        if (run_file(arguments[i]) < 0) {
            return EXIT_FAILURE;
        }
    }
    printf("%d inputs\n", argument_count - 1);
    return EXIT_SUCCESS;
}
