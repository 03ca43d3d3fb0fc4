/* The detector's passes in C: the same numbers as pure.py to the last bit, on every machine.
 *
 * The meaning of each pass, and the arithmetic that both keep to, stand in __init__.py beside this file; their use, in
 * the modules named there.  Here is only how.  Nothing is allocated, nothing is kept: all memory is the detector's
 * grids, which the caller owns, and everything that has a size is bounded by MAX_ROWS and MAX_COLUMNS.
 *
 * Build:  cc -std=c11 -O3 -ffp-contract=off -fPIC -shared -fvisibility=hidden -DSOURCE_SHA256='"…"' kernel.c
 * -ffp-contract=off keeps a product and a sum two roundings (arm64 has a fused one); no other floating-point option may
 * be added.
 */
#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef SOURCE_SHA256
#define SOURCE_SHA256 "unknown"
#endif

#if !defined(FLT_EVAL_METHOD) || FLT_EVAL_METHOD != 0
#error "float arithmetic has to be rounded to float after every operation"
#endif

#define EXPORT __attribute__((visibility("default")))

enum {
    MAX_ROWS = 120,
    MAX_COLUMNS = 160,
    MAX_LEVELS = 16,
    SIDE = 11, /* ILLUMINATION_CELLS */
    HALF = SIDE / 2,
    MOST_REGIONS = 4,
    SOLID_CELLS = 18,
    FAR_REACHES = 3,
    FAR_GAIN = 2,
    COMPARED_NUMBERS = 10,
    SMOOTH = 1,
    DRY = 2,
    COUNT_JUMPS = 4,
    KEEP = 8,
};

static const float SEEN_FRACTION = 64.0f, QUICK_SHARE = 0.8f, LEAST_NOISE = 0.7f, PER_SQUARE = 1.0f / (SIDE * SIDE);

typedef uint8_t cell;

/* The box, and what `MotionRegion` has, in its order; at which cell the longest path ends. */
typedef struct {
    int32_t x0, y0, x1, y1, cells, longest, dwell, total_dwell, settled, smallest, last_at;
} region;

/* agent/recorder/motion_kernel.py has the same fields in the same order. */
typedef struct {
    int32_t rows, columns, height_px, width_px, levels, frame_is;
    const cell *steps_of_luma; /* (256,) */
    cell *bands;               /* rows on the way to the grid: two of each level, or one if there is no level */
    cell *steps, *smooth, *dry, *last, *before_last;
    cell *quick_mean, *quick_threshold;
    float *mean, *cell_noise, *contrast, *threshold, *per_sensitivity, *blind, *seen;
    float *light, *residual;
    cell *differing, *path, *dwell, *unchanged, *changing, *previous;
    uint16_t *age;
    float *scene, *scene_threshold, *scene_structure;
    cell *then, *body;
    float *scratch; /* (3, rows, columns) */
    const int32_t *smallest_cells;
    cell *marks;     /* (3, rows, columns) */
    uint16_t *queue; /* (rows × columns) */
    region *regions; /* (MOST_REGIONS + 1,) */
    double *sums;    /* (COMPARED_NUMBERS,) */
} grids;

/* ---- small things */

static inline int smaller(int a, int b) { return a < b ? a : b; }
static inline int larger(int a, int b) { return a > b ? a : b; }
static inline cell distance(cell a, cell b) { return a > b ? (cell)(a - b) : (cell)(b - a); }
static inline cell mean_of_four(int a, int b, int c, int d) { return (cell)((a + b + c + d + 2) >> 2); }
static inline float magnitude(float value) { return value < 0.0f ? -value : value; }

/* To the nearest whole number, ties to even, for |value| < 2^22: 3 × 2^22 leaves a float no room for a fraction. */
static inline float rounded(float value) { return (value + 12582912.0f) - 12582912.0f; }

/* OpenCV's BORDER_REFLECT_101: the position that stands for `at` in 0..size-1. */
static int mirrored(int at, int size) {
    if (size == 1) return 0;
    while (at < 0 || at >= size) at = at < 0 ? -at : 2 * (size - 1) - at;
    return at;
}

static const cell *frame_of(const grids *g) {
    return g->frame_is & DRY ? g->dry : g->frame_is & SMOOTH ? g->smooth : g->steps;
}

/* In parts, so that bytes have room for their counts. */
static int count_set(const cell *mask, int cells) {
    int count = 0;
    for (int from = 0; from < cells; from += 128) {
        int to = smaller(from + 128, cells);
        cell few = 0;
        for (int i = from; i < to; i++) few = (cell)(few + (mask[i] & 1));
        count += few;
    }
    return count;
}

/* ---- look */

static void halve(const cell *restrict upper, const cell *restrict lower, cell *restrict out, int width) {
    /* Two neighbours are read as one number, which is quicker in vectors; which is its upper half does not matter. */
    for (int x = 0; x < width; x++) {
        uint16_t a, b;
        memcpy(&a, upper + 2 * x, sizeof a);
        memcpy(&b, lower + 2 * x, sizeof b);
        out[x] = mean_of_four(a & 255, a >> 8, b & 255, b >> 8);
    }
}

/* Row `y` of a level; the rows it is made of are made on the way, two of each level in `bands`. */
static const cell *row_of(const grids *g, const cell *luma, ptrdiff_t stride, int level, int y, int slot) {
    if (!level) return luma + (ptrdiff_t)y * stride;
    int width = g->width_px >> level;
    cell *out = g->bands;
    for (int below = 1; below < level; below++) out += 2 * (ptrdiff_t)(g->width_px >> below);
    out += (ptrdiff_t)slot * width;
    const cell *upper = row_of(g, luma, stride, level - 1, 2 * y, 0);
    const cell *lower = row_of(g, luma, stride, level - 1, 2 * y + 1, 1);
    halve(upper, lower, out, width);
    return out;
}

/* Row `y` of a picture as small as the grid: in place, the mean of each pixel, the one to its left and those above. */
static const cell *averaged_row(const grids *g, const cell *luma, ptrdiff_t stride, int y) {
    const cell *restrict upper = luma + mirrored(y - 1, g->rows) * stride, *restrict lower = luma + y * stride;
    cell *restrict out = g->bands;
    int columns = g->columns, left = mirrored(-1, columns);
    out[0] = mean_of_four(upper[left], upper[0], lower[left], lower[0]);
    for (int x = 1; x < columns; x++) out[x] = mean_of_four(upper[x - 1], upper[x], lower[x - 1], lower[x]);
    return out;
}

static void shrink(const grids *g, const cell *luma, ptrdiff_t stride) {
    /* Copies: a byte may be part of anything, so after each one that is written the compiler would read `g` again. */
    const cell *steps = g->steps_of_luma;
    const int columns = g->columns;
    for (int y = 0; y < g->rows; y++) {
        const cell *row = g->levels ? row_of(g, luma, stride, g->levels, y, 0) : averaged_row(g, luma, stride, y);
        cell *restrict out = g->steps + y * columns;
        for (int x = 0; x < columns; x++) out[x] = steps[row[x]];
    }
}

static void blur_3x3(const grids *g, const cell *restrict in, cell *restrict out) {
    int rows = g->rows, columns = g->columns;
    uint16_t room[MAX_COLUMNS + 2], *sums = room + 1;
    for (int y = 0; y < rows; y++) {
        const cell *a = in + mirrored(y - 1, rows) * columns, *b = in + y * columns;
        const cell *c = in + mirrored(y + 1, rows) * columns;
        for (int x = 0; x < columns; x++) sums[x] = (uint16_t)(a[x] + b[x] + c[x]);
        sums[-1] = sums[mirrored(-1, columns)];
        sums[columns] = sums[mirrored(columns, columns)];
        for (int x = 0; x < columns; x++) out[y * columns + x] = (cell)((sums[x - 1] + sums[x] + sums[x + 1] + 4) / 9);
    }
}

static int count_differing(const cell *restrict a, const cell *restrict b, const cell *restrict limits, int cells) {
    int count = 0;
    for (int from = 0; from < cells; from += 128) {
        int to = smaller(from + 128, cells);
        cell few = 0;
        for (int i = from; i < to; i++) few = (cell)(few + (distance(a[i], b[i]) > limits[i]));
        count += few;
    }
    return count;
}

/* The cells that differ in the quick look, and in the upper half the cells that jump. */
static int64_t look(grids *g, const cell *luma, ptrdiff_t stride, int32_t plan, int32_t jump_limit) {
    int cells = g->rows * g->columns;
    int64_t jumping = 0;
    shrink(g, luma, stride);
    g->frame_is = plan & (SMOOTH | DRY);
    const cell *frame = plan & SMOOTH ? g->smooth : g->steps;
    if (plan & SMOOTH) blur_3x3(g, g->steps, g->smooth);
    if (plan & DRY)
        for (int i = 0; i < cells; i++) g->dry[i] = g->last[i] < frame[i] ? g->last[i] : frame[i];
    if (plan & COUNT_JUMPS)
        for (int i = 0; i < cells; i++) jumping += g->last[i] - larger(g->before_last[i], frame[i]) > jump_limit;
    if (plan & KEEP) {
        memcpy(g->before_last, g->last, (size_t)(unsigned)cells);
        memcpy(g->last, frame, (size_t)(unsigned)cells);
    }
    return jumping << 32 | count_differing(frame_of(g), g->quick_mean, g->quick_threshold, cells);
}

/* Python's buffer protocol (PEP 3118), part of its stable ABI since 3.11 and declared here, so that Python's headers are
 * not needed.  It is the one thing taken from the interpreter: asking an array for its address from Python costs more
 * than all of a quiet frame's arithmetic. */
typedef struct {
    void *buf, *obj;
    ptrdiff_t len, itemsize;
    int readonly, ndim;
    char *format;
    ptrdiff_t *shape, *strides, *suboffsets;
    void *internal;
} Py_buffer;
enum { PyBUF_FORMAT = 0x4, PyBUF_STRIDES = 0x18 };
extern int PyObject_GetBuffer(void *exporter, Py_buffer *view, int flags);
extern void PyBuffer_Release(Py_buffer *view);

/* As `look`, at an array; called with the interpreter's lock.  -1 when it is not what was announced, row by row. */
EXPORT int64_t doorward_look(grids *g, void *array, int32_t plan, int32_t jump_limit) {
    Py_buffer luma;
    int64_t counts = -1;
    if (PyObject_GetBuffer(array, &luma, PyBUF_FORMAT | PyBUF_STRIDES)) return -1;
    if (luma.ndim == 2 && luma.shape[0] == g->height_px && luma.shape[1] == g->width_px && luma.strides[1] == 1 &&
        luma.format[0] == 'B' && luma.format[1] == '\0')
        counts = look(g, luma.buf, luma.strides[0], plan, jump_limit);
    PyBuffer_Release(&luma);
    return counts;
}

/* ---- differ */

/* Sums of exact numbers over squares of 5×5 cells (`half` is 2) or SIDE×SIDE (HALF): down by adding and taking away rows,
 * across in few additions.  There is room for whole vectors beyond the last column; what is computed there is not used. */
typedef struct {
    float down[MAX_COLUMNS + 2 * HALF + 16], two[MAX_COLUMNS + 2 * HALF + 16], four[MAX_COLUMNS + 2 * HALF + 16];
} squares;

static void sum_squares(const float *restrict in, int rows, int columns, int stride, int half, float *restrict out) {
    squares s;
    float *restrict down = s.down, *restrict two = s.two, *restrict four = s.four, *middle = down + half;
    int width = (columns + 2 * half + 7) & ~7, left[HALF], right[HALF];
    for (int k = 0; k < half; k++) left[k] = mirrored(-1 - k, columns), right[k] = mirrored(columns + k, columns);
    memset(&s, 0, sizeof s);
    for (int y = -2 * half; y < rows; y++) {
        const float *enters = in + mirrored(y + half, rows) * stride, *leaves = in + mirrored(y - half, rows) * stride;
        for (int x = 0; x < columns; x++) middle[x] += enters[x];
        if (y < 0) continue;
        for (int k = 0; k < half; k++) middle[-1 - k] = middle[left[k]], middle[columns + k] = middle[right[k]];
        for (int x = 0; x < width; x++) two[x] = down[x] + down[x + 1];
        for (int x = 0; x < width; x++) four[x] = two[x] + two[x + 2];
        float *restrict to = out + y * stride;
        for (int x = 0; x < columns; x++)
            to[x] = four[x] + (half == HALF ? four[x + 4] + two[x + 8] + down[x + 10] : down[x + 4]);
        for (int x = 0; x < columns; x++) middle[x] -= leaves[x];
    }
}

/* Cells of a mask of 0 and 255 that have at least two marked neighbours stay; returns how many. */
static int keep_company(const grids *g, const cell *restrict mask, cell *restrict kept) {
    int rows = g->rows, columns = g->columns;
    cell room[MAX_COLUMNS + 2], *sums = room + 1;
    for (int y = 0; y < rows; y++) {
        const cell *a = mask + mirrored(y - 1, rows) * columns, *b = mask + y * columns;
        const cell *c = mask + mirrored(y + 1, rows) * columns;
        for (int x = 0; x < columns; x++) sums[x] = (cell)((a[x] & 1) + (b[x] & 1) + (c[x] & 1));
        sums[-1] = sums[mirrored(-1, columns)];
        sums[columns] = sums[mirrored(columns, columns)];
        for (int x = 0; x < columns; x++)
            kept[y * columns + x] = (cell)(-((cell)(sums[x - 1] + sums[x] + sums[x + 1]) >= 3) & b[x]);
    }
    return count_set(kept, rows * columns);
}

/* The difference between frame and scene: its local mean, and what is left without that. */
static void take_out_light(const grids *g, const cell *restrict frame, const float *restrict scene, int rows,
                           float *restrict light, float *restrict residual) {
    int cells = rows * g->columns;
    for (int i = 0; i < cells; i++) residual[i] = (float)frame[i] - scene[i];
    sum_squares(residual, rows, g->columns, g->columns, HALF, light);
    for (int i = 0; i < cells; i++) {
        light[i] *= PER_SQUARE;
        residual[i] = magnitude(residual[i] - light[i]);
    }
}

static cell exceed(const float *restrict residual, const float *restrict threshold, cell *restrict differing, int cells) {
    cell any = 0;
    for (int i = 0; i < cells; i++) any |= differing[i] &= (cell)(residual[i] > threshold[i] ? 255 : 0);
    return any;
}

EXPORT int32_t doorward_differ(grids *g, int32_t beside_scene) {
    int cells = g->rows * g->columns;
    const cell *restrict frame = frame_of(g), *restrict mean = g->quick_mean, *restrict threshold = g->quick_threshold;
    float *restrict seen = g->seen;
    cell *restrict marks = g->marks;
    for (int i = 0; i < cells; i++) seen[i] = rounded(g->mean[i] * SEEN_FRACTION) * (1.0f / SEEN_FRACTION);
    take_out_light(g, frame, seen, g->rows, g->light, g->residual);
    /* The local mean of a small bright thing is a halo around it: what equals the background is no thing. */
    for (int i = 0; i < cells; i++) marks[i] = distance(frame[i], mean[i]) > threshold[i] ? 255 : 0;
    memset(g->differing, 0, (size_t)(unsigned)cells);
    if (!exceed(g->residual, g->threshold, marks, cells)) return 0;
    if (beside_scene) {
        /* Only the rows about what is marked. Means near the ends are wrong, and not used. */
        int top = 0, end = g->rows, columns = g->columns;
        while (!count_set(marks + top * columns, columns)) top++;
        while (!count_set(marks + (end - 1) * columns, columns)) end--;
        top = larger(0, top - HALF), end = smaller(g->rows, end + HALF);
        int at = top * columns, here = end * columns - at;
        take_out_light(g, frame + at, g->scene + at, end - top, g->scratch + cells + at, g->scratch + at);
        exceed(g->scratch + at, g->threshold + at, marks + at, here);
    }
    return keep_company(g, marks, g->differing);
}

/* ---- follow */

/* `share` of each value to whole steps, 0 to 255.  In parts, which stay in the cache between two loops, because as one
 * loop they are not vectorised. */
static void to_cells(const float *restrict values, float share, cell *restrict out, int cells) {
    float clamped[128];
    for (int from = 0; from < cells; from += 128) {
        int count = smaller(128, cells - from);
        for (int i = 0; i < count; i++) {
            float value = values[from + i] * share, inside = value > 0.0f ? value : 0.0f;
            clamped[i] = inside < 255.0f ? inside : 255.0f;
        }
        for (int i = 0; i < count; i++) out[from + i] = (cell)(int32_t)rounded(clamped[i]);
    }
}

static void round_mean(grids *g) { to_cells(g->mean, 1.0f, g->quick_mean, g->rows * g->columns); }

EXPORT void doorward_follow_quietly(grids *g, float weight) {
    int cells = g->rows * g->columns;
    const cell *restrict frame = frame_of(g);
    float *restrict mean = g->mean;
    for (int i = 0; i < cells; i++) mean[i] += ((float)frame[i] - mean[i]) * weight;
    round_mean(g);
}

/* `out`: the most of `in` within `reach` cells, so of a mask of 0 and 255 what is within reach of what is set. */
static void dilate(const cell *restrict in, int rows, int columns, int stride, int reach, cell *restrict out) {
    cell wide[3 * MAX_COLUMNS] = {0}, *most = wide + MAX_COLUMNS; /* nothing beside the grid */
    reach = smaller(reach, MAX_COLUMNS);
    for (int y = 0; y < rows; y++) {
        cell *to = out + y * stride;
        memset(most, 0, (size_t)columns);
        for (int from = larger(0, y - reach); from <= smaller(rows - 1, y + reach); from++) {
            const cell *row = in + from * stride;
            for (int x = 0; x < columns; x++) most[x] = most[x] > row[x] ? most[x] : row[x];
        }
        if (reach == 2) { /* at ten frames a second, and around what differs */
            for (int x = 0; x < columns; x++) {
                cell a = most[x - 2] > most[x - 1] ? most[x - 2] : most[x - 1];
                cell b = most[x + 1] > most[x + 2] ? most[x + 1] : most[x + 2];
                a = a > most[x] ? a : most[x];
                to[x] = a > b ? a : b;
            }
            continue;
        }
        memcpy(to, most, (size_t)columns);
        for (int k = 1; k <= reach && k < columns; k++)
            for (int x = 0; x < columns; x++) {
                cell beside = most[x - k] > most[x + k] ? most[x - k] : most[x + k];
                to[x] = to[x] > beside ? to[x] : beside;
            }
    }
}

typedef struct {
    float open_weight, covered_weight, settled_weight, light_weight, noise_rise, noise_fall;
    int32_t settled_frames;
} following;

EXPORT int32_t doorward_follow(grids *g, const following *rates, int32_t spares_objects, float noise_level) {
    const following by = *rates; /* a copy, which no grid overlaps: with it the loops are vectorised */
    int cells = g->rows * g->columns, noisy = 0;
    const cell *restrict frame = frame_of(g), *restrict differing = g->differing, *restrict unchanged = g->unchanged;
    const float *restrict light = g->light, *restrict residual = g->residual;
    float *restrict mean = g->mean, *restrict noise = g->cell_noise;
    cell *restrict near = g->marks;
    for (int i = 0; i < cells; i++) {
        float weight = differing[i] ? by.covered_weight : by.open_weight;
        weight = unchanged[i] > by.settled_frames ? by.settled_weight : weight;
        float step = ((float)frame[i] - mean[i]) * weight, lit = light[i] * by.light_weight;
        mean[i] = (mean[i] + step) + lit;
    }
    memset(near, 0, (size_t)(unsigned)cells);
    if (spares_objects && count_set(differing, cells)) dilate(differing, g->rows, g->columns, g->columns, 2, near);
    for (int i = 0; i < cells; i++) {
        float factor = residual[i] > noise[i] ? by.noise_rise : by.noise_fall;
        float next = noise[i] * (near[i] ? by.noise_fall : factor);
        noise[i] = next > LEAST_NOISE ? next : LEAST_NOISE;
        noisy += residual[i] > noise_level;
    }
    return noisy;
}

EXPORT void doorward_set_threshold(grids *g, float cell_noise_factor, float least, float shared) {
    int cells = g->rows * g->columns;
    const float *restrict noise = g->cell_noise, *restrict contrast = g->contrast, *restrict blind = g->blind;
    const float *restrict per_sensitivity = g->per_sensitivity;
    float *restrict threshold = g->threshold;
    for (int i = 0; i < cells; i++) {
        float value = noise[i] * cell_noise_factor;
        value = value > least ? value : least;
        value = (value + contrast[i]) - shared;
        threshold[i] = value * per_sensitivity[i] + blind[i];
    }
    to_cells(threshold, QUICK_SHARE, g->quick_threshold, cells);
    round_mean(g);
}

/* ---- track */

/* How many cells of 5×5 are 1, the others being 0; outside the grid none is. */
static void count_around(const cell *mask, int rows, int columns, cell *restrict out) {
    cell wide[MAX_COLUMNS + 4] = {0}, *sums = wide + 2;
    for (int y = 0; y < rows; y++) {
        memset(sums, 0, (size_t)columns);
        for (int from = larger(0, y - 2); from <= smaller(rows - 1, y + 2); from++) {
            const cell *row = mask + from * columns;
            for (int x = 0; x < columns; x++) sums[x] = (cell)(sums[x] + row[x]);
        }
        cell *to = out + y * columns;
        for (int x = 0; x < columns; x++) to[x] = (cell)(sums[x - 2] + sums[x - 1] + sums[x] + sums[x + 1] + sums[x + 2]);
    }
}

/* Where a large thing has reached new ground, a path may come from far, and has gained more. */
static void reach_far(const grids *g, const cell *restrict fresh, int reach, cell *restrict wide) {
    int cells = g->rows * g->columns;
    cell *restrict reached = (cell *)(void *)g->scratch, *restrict far = reached + cells;
    for (int i = 0; i < cells; i++) far[i] = (cell)(g->differing[i] & fresh[i]);
    count_around(far, g->rows, g->columns, reached);
    for (int i = 0; i < cells; i++) reached[i] = (reached[i] >= SOLID_CELLS) & far[i] ? 255 : 0;
    if (!count_set(reached, cells)) return;
    dilate(g->path, g->rows, g->columns, g->columns, FAR_REACHES * reach, far);
    for (int i = 0; i < cells; i++) {
        cell length = (cell)(far[i] < 255 - FAR_GAIN ? far[i] + FAR_GAIN : 255);
        length &= (cell)(far[i] > 0 ? reached[i] : 0);
        wide[i] = wide[i] > length ? wide[i] : length;
    }
}

EXPORT int32_t doorward_track(grids *g, int32_t elapsed_frames, int32_t fresh_after_frames, int32_t reach_cells,
                              int32_t fades) {
    int cells = g->rows * g->columns;
    const cell *restrict frame = frame_of(g), *restrict limit = g->quick_threshold, *restrict differing = g->differing;
    cell *restrict path = g->path, *restrict dwell = g->dwell, *restrict unchanged = g->unchanged;
    cell *restrict changing = g->changing, *restrict previous = g->previous;
    cell *restrict wide = g->marks, *restrict fresh = g->marks + cells, fading = fades ? 1 : 0, longest = 0;
    uint16_t *restrict age = g->age, elapsed = (uint16_t)elapsed_frames, fresh_after = (uint16_t)fresh_after_frames;
    dilate(path, g->rows, g->columns, g->columns, reach_cells, wide);
    for (int i = 0; i < cells; i++) {
        uint16_t old = (uint16_t)(age[i] + elapsed);
        old |= (uint16_t)-(old < elapsed);
        fresh[i] = old > fresh_after;
        age[i] = differing[i] ? 0 : old;
    }
    if (count_set(differing, cells) >= SOLID_CELLS) reach_far(g, fresh, reach_cells, wide);
    for (int i = 0; i < cells; i++) {
        cell length = (cell)(wide[i] + fresh[i]);
        length |= (cell)-(length < fresh[i]);
        length &= differing[i];
        path[i] = length = (cell)(length - (fading & (length > 0)));
        longest = longest > length ? longest : length;
    }
    /* More grids than a compiler tests for overlap. */
#pragma GCC ivdep
    for (int i = 0; i < cells; i++) {
        cell changed = (cell)(-(distance(frame[i], previous[i]) > limit[i]) & differing[i]);
        changing[i] = changed;
        dwell[i] = (cell)((dwell[i] < 255 ? dwell[i] + 1 : 255) & differing[i]);
        unchanged[i] = (cell)((unchanged[i] < 255 ? unchanged[i] + 1 : 255) & (differing[i] & ~changed));
        previous[i] = frame[i];
    }
    return longest;
}

/* ---- regions */

static const region NOTHING = {.x0 = MAX_COLUMNS, .y0 = MAX_ROWS, .smallest = INT32_MAX};

/* Adds to `r` what hangs together with `start` in `mask`, which is nonzero there, and takes it out of `mask`. */
static void fill(const grids *g, cell *restrict mask, int start, int settled_frames, region *r) {
    int rows = g->rows, columns = g->columns, taken = 0, known = 0;
    uint16_t *queue = g->queue; /* row and column in a byte each, which saves a division */
    queue[known++] = (uint16_t)((start / columns) << 8 | start % columns);
    mask[start] = 0;
    while (taken < known) {
        int y = queue[taken] >> 8, x = queue[taken++] & 255, at = y * columns + x;
        r->x0 = smaller(r->x0, x);
        r->y0 = smaller(r->y0, y);
        r->x1 = larger(r->x1, x + 1);
        r->y1 = larger(r->y1, y + 1);
        if (g->path[at] > r->longest || (g->path[at] == r->longest && at > r->last_at)) {
            r->longest = g->path[at];
            r->last_at = at;
        }
        r->dwell = larger(r->dwell, g->dwell[at]);
        r->total_dwell += g->dwell[at];
        r->settled += g->unchanged[at] > settled_frames;
        for (int v = larger(0, y - 1); v <= smaller(rows - 1, y + 1); v++)
            for (int u = larger(0, x - 1); u <= smaller(columns - 1, x + 1); u++) {
                if (!mask[v * columns + u]) continue;
                mask[v * columns + u] = 0;
                queue[known++] = (uint16_t)(v << 8 | u);
            }
    }
    r->cells += known;
}

static int comes_before(const region *a, const region *b) {
    return a->longest != b->longest ? a->longest > b->longest : a->last_at > b->last_at;
}

/* Writes `regions`; how many. */
EXPORT int32_t doorward_regions(grids *g, int32_t least_path, int32_t least_cells, int32_t settled_frames) {
    int cells = g->rows * g->columns, count = 0;
    region *best = g->regions;
    memcpy(g->marks, g->differing, (size_t)(unsigned)cells);
    for (int at = 0; at < cells; at++) {
        if (g->path[at] < least_path || !g->marks[at]) continue;
        region r = NOTHING;
        fill(g, g->marks, at, settled_frames, &r);
        if (r.cells < least_cells) continue;
        int place = count;
        for (; place && comes_before(&r, &best[place - 1]); place--) best[place] = best[place - 1];
        best[place] = r;
        count = smaller(count + 1, MOST_REGIONS);
    }
    for (region *r = best; r < best + count; r++)
        for (int y = r->y0; y < r->y1; y++)
            for (int x = r->x0; x < r->x1; x++) r->smallest = smaller(r->smallest, g->smallest_cells[y * g->columns + x]);
    return count;
}

/* ---- a visitor who is looked after */

/* Writes `body` within the window, and as a region the box around it; returns how many of its cells differ, and in the
 * upper half how many have changed by more than `limit`. */
EXPORT int64_t doorward_find_body(grids *g, int32_t left, int32_t top, int32_t right, int32_t bottom, int32_t x0,
                                  int32_t y0, int32_t x1, int32_t y1, float least, double limit) {
    int stride = g->columns, origin = top * stride + left, rows = bottom - top, columns = right - left;
    int cells = g->rows * g->columns, spread = (int)(limit * (rows * columns)), total = 0, count = 0;
    int64_t changed = 0;
    const cell *frame = frame_of(g) + origin, *then = g->then + origin;
    const float *scene = g->scene + origin, *thresholds = g->scene_threshold + origin;
    float *restrict difference = g->scratch + origin, *restrict sums = g->scratch + cells + origin;
    cell *restrict body = g->body + origin, *left_over = g->marks, *restrict differs = g->marks + cells + origin;
    region *r = g->regions;
    *r = NOTHING;
    for (int y = 0; y < rows; y++)
        for (int at = y * stride; at < y * stride + columns; at++) {
            difference[at] = (float)frame[at] - scene[at];
            total += frame[at] - then[at];
        }
    sum_squares(difference, rows, columns, stride, HALF, sums);
    for (int y = 0; y < rows; y++)
        for (int at = y * stride; at < y * stride + columns; at++) {
            float residual = magnitude(difference[at] - sums[at] * PER_SQUARE);
            float threshold = thresholds[at] > least ? thresholds[at] : least;
            differs[at] = (residual > threshold) & (magnitude(difference[at]) > QUICK_SHARE * threshold) ? 255 : 0;
        }
    memset(left_over, 0, (size_t)(unsigned)cells);
    dilate(differs, rows, columns, stride, 1, left_over + origin);
    for (int y = 0; y < rows; y++) memcpy(body + y * stride, left_over + origin + y * stride, (size_t)columns);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            if (left_over[y * stride + x]) fill(g, left_over, y * stride + x, 255, r);
    for (int y = 0; y < rows; y++)
        for (int at = y * stride; at < y * stride + columns; at++) {
            int beyond = rows * columns * (frame[at] - then[at]) - total;
            body[at] &= (cell)(left_over[origin + at] ? 0 : 255);
            count += (body[at] & differs[at]) & 1;
            changed += ((beyond > spread) | (beyond < -spread)) & body[at];
        }
    return changed << 32 | count;
}

/* Writes `sums`.  The mean of 5×5 cells is taken within the window, the structure over the whole picture. */
EXPORT void doorward_compare_body(grids *g, int32_t left, int32_t top, int32_t right, int32_t bottom,
                                  int32_t beside_scene) {
    int stride = g->columns, origin = top * stride + left, rows = bottom - top, columns = right - left;
    int cells = g->rows * stride, whole = 0, whole_before = 0; /* the latter in 64ths */
    const cell *frame = frame_of(g), *body = g->body + origin;
    const float *before = (beside_scene ? g->scene : g->seen) + origin, *structure = g->scene_structure + origin;
    float *now = g->scratch + origin, *around_now = now + cells, *around_before = now + 2 * cells;
    cell *restrict most = g->marks, *restrict inverse = most + cells, *restrict least = most + 2 * cells;
    double *sums = g->sums;
    memset(sums, 0, COMPARED_NUMBERS * sizeof *sums);
    for (int i = 0; i < cells; i++) inverse[i] = (cell)~frame[i];
    dilate(frame, g->rows, stride, stride, 1, most);
    dilate(inverse, g->rows, stride, stride, 1, least);
    for (int i = 0; i < cells; i++) most[i] = (cell)(most[i] - (cell)~least[i]);
    for (int i = 0; i < cells; i++) whole += most[i];
    for (int i = 0; i < cells; i++) whole_before += (int32_t)(g->scene_structure[i] * SEEN_FRACTION);
    for (int y = 0; y < rows; y++)
        for (int at = y * stride; at < y * stride + columns; at++) {
            now[at] = frame[origin + at];
            inverse[origin + at] = (cell)~body[at];
        }
    dilate(inverse + origin, rows, columns, stride, 1, least + origin);
    sum_squares(now, rows, columns, stride, 2, around_now);
    sum_squares(before, rows, columns, stride, 2, around_before);
    for (int y = 0; y < rows; y++)
        for (int at = y * stride; at < y * stride + columns; at++) {
            if (!body[at]) continue;
            double here = 25.0f * now[at] - around_now[at], then = 25.0f * before[at] - around_before[at];
            int within = !least[origin + at];
            sums[0] += 1, sums[1] += here * here, sums[2] += then * then, sums[3] += here * then;
            sums[4 + within] += most[origin + at], sums[7 + within] += structure[at];
        }
    sums[6] = whole - sums[4] - sums[5];
    sums[9] = whole_before / (double)SEEN_FRACTION - sums[7] - sums[8];
}

/* ---- what this is */

EXPORT const char *doorward_motion_source(void) { return SOURCE_SHA256; }

EXPORT int32_t doorward_motion_grids_bytes(void) { return (int32_t)sizeof(grids); }

_Static_assert(MAX_ROWS <= 256 && MAX_COLUMNS <= 256, "the queue has a byte for a row and one for a column");
