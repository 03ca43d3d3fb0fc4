/* Runs every pass of the kernel over frames made of integers, and prints one hash over all grids after every frame: built
 * for two machines it has to print the same twice.  See test_motion_kernel.py.
 */
#include "../../agent/core/motion/passes/kernel.c"

#include <stdio.h>
#include <stdlib.h>

/* No interpreter here: frames are handed to `look` itself. */
int PyObject_GetBuffer(void *exporter, Py_buffer *view, int flags) {
    (void)exporter, (void)view, (void)flags;
    return 1;
}
void PyBuffer_Release(Py_buffer *view) { (void)view; }

enum { ROWS = 60, COLUMNS = 80, CELLS = ROWS * COLUMNS, HEIGHT = 240, WIDTH = 320 };

static uint64_t hash = 14695981039346656037u;

static void take(const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, (const char *)data + i, sizeof word);
        hash = (hash ^ word) * 1099511628211u;
    }
}

static void *make(size_t bytes) {
    void *made = calloc(CELLS, bytes);
    if (!made) exit(1);
    return made;
}

int main(void) {
    static cell luma[HEIGHT * WIDTH], table[256], bands[4 * WIDTH];
    static int32_t smallest[CELLS];
    static region regions[MOST_REGIONS + 1];
    static double sums[COMPARED_NUMBERS];
    grids g = {.rows = ROWS, .columns = COLUMNS, .height_px = HEIGHT, .width_px = WIDTH, .levels = 2};
    cell **cells[] = {&g.steps, &g.smooth, &g.dry, &g.last, &g.before_last, &g.quick_mean, &g.quick_threshold,
                      &g.differing, &g.path, &g.dwell, &g.unchanged, &g.changing, &g.previous, &g.then, &g.body};
    float **floats[] = {&g.mean, &g.cell_noise, &g.contrast, &g.threshold, &g.per_sensitivity, &g.blind,
                        &g.seen, &g.light, &g.residual, &g.scene, &g.scene_threshold, &g.scene_structure};
    enum { MANY = sizeof cells / sizeof *cells, FEW = sizeof floats / sizeof *floats };
    following by = {0.02f, 0.006f, 0.14f, 0.17f, 1.12f, 0.99f, 15};
    uint64_t noise = 1;
    for (int i = 0; i < MANY; i++) *cells[i] = make(1);
    for (int i = 0; i < FEW; i++) *floats[i] = make(4);
    g.scratch = make(12), g.marks = make(3), g.queue = make(2), g.age = make(2);
    g.steps_of_luma = table, g.bands = bands, g.smallest_cells = smallest, g.regions = regions, g.sums = sums;
    for (int i = 0; i < 256; i++) table[i] = (cell)(255 - (255 - i) * (255 - i) / 255);
    for (int i = 0; i < CELLS; i++) g.per_sensitivity[i] = 1.0f / (float)(1 + i % 3), g.cell_noise[i] = 1.0f, g.contrast[i] = (float)(i % 11) * 0.25f;
    for (int frame = 0; frame < 120; frame++) {
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                noise = noise * 6364136223846793005u + 1442695040888963407u;
                int wall = 60 + (x * x + 3 * x * y) / 97 % 90 + (int)(noise >> 60);
                int inside = frame > 60 && x > 2 * (frame - 60) && x < 2 * (frame - 60) + 40 && y > 80;
                luma[y * WIDTH + x] = (cell)(inside ? (y + frame / 4) / 8 % 2 * 200 : wall * (frame < 100 ? 4 : 5) / 5);
            }
        int64_t counts = look(&g, luma, WIDTH, frame % 16, 12);
        int64_t said[] = {counts, doorward_differ(&g, frame % 2), doorward_track(&g, 1, 50, 2, frame % 9 == 0),
                          doorward_regions(&g, 4, 1, 15), doorward_find_body(&g, 8, 10, 60, 58, 20, 20, 50, 50, 5.0f, 4.5)};
        doorward_compare_body(&g, 8, 10, 60, 58, frame % 3 > 0);
        int noisy = doorward_follow(&g, &by, frame % 3 == 0, 0.8f);
        doorward_set_threshold(&g, 4.0f, 7.3f, 2.1f);
        if (frame % 5 == 0) doorward_follow_quietly(&g, 0.08f);
        if (frame == 55) {
            memcpy(g.scene, g.seen, sizeof(float) * CELLS);
            memcpy(g.scene_threshold, g.threshold, sizeof(float) * CELLS);
            memcpy(g.scene_structure, g.contrast, sizeof(float) * CELLS);
        }
        if (frame % 8 == 0) memcpy(g.then, g.steps, CELLS);
        take(said, sizeof said);
        take(&noisy, sizeof noisy);
        take(regions, sizeof regions);
        take(sums, sizeof sums);
        for (int i = 0; i < MANY; i++) take(*cells[i], CELLS);
        for (int i = 0; i < FEW; i++) take(*floats[i], sizeof(float) * CELLS);
        take(g.age, sizeof(uint16_t) * CELLS);
    }
    printf("%016llx\n", (unsigned long long)hash);
    return 0;
}
