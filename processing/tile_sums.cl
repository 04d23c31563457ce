/* Sums of pixels over bins, tile by tile: no atomic additions, so that sums have the same bits
   in any block and on any run. The tables are those of tile_layout.py.

   Built with
   PIXEL, PIXELS    type of a pixel, and the vector of the LANES frames that a group sums
   SUM, SUMS        type in which a strand is summed, and its vector
   TOTAL            type in which strands are summed
   SPLIT            shares are not all 1
   POISSON          also sums of share squared x max(pixel, 1)
   LIMITED          some values do not count
   GROUP            work-items of a group
   ROWS, COLUMNS    pixels of a tile */

#define TILE_PIXELS 4096
#define BATCH 32
#define PAD 65535
#define NO_SLOT 0xFFFFFFFFu

typedef union {
    PIXELS all;
    PIXEL each[LANES];
} Pixels;

typedef union {
    SUMS all;
    SUM each[LANES];
} Sums;

#ifdef LIMITED
#define COUNTS(value)                                                                           \
    ((value) >= low && (value) <= high && !((value) >= hole_low && (value) <= hole_high))
#else
#define COUNTS(value) 1
#endif

/* Groups: (frames / LANES, tiles). Strand by strand into sums[plane][lanes][slot][lane]. */
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void sum_strands(
    __global const PIXEL *raws, const uint frames, const uint slow, const uint fast,
    const uint tiles_across,
    __global const ushort *pixel_of, __global const float *share_of, const double unit,
    __global const uint *batch_of, __global const uint *entry_of,
    __global const uint *slot_of, __global const uchar *plain_of, const uint slots,
    __global const uchar *in_use, const PIXEL low, const PIXEL high,
    const PIXEL hole_low, const PIXEL hole_high,
    __global uint *rejected, __global uint *rejects, const uint most_rejects,
    __global SUMS *sums)
{
    __local PIXELS tile[TILE_PIXELS];
    const uint item = get_local_id(0), number = get_group_id(1);
    const uint first_frame = get_group_id(0) * LANES;
    const uint top = number / tiles_across * ROWS, left = number % tiles_across * COLUMNS;
    const ulong size = (ulong)slow * fast;

    for (uint place = item; place < ROWS * COLUMNS; place += GROUP) {
        const uint row = top + place / COLUMNS, column = left + place % COLUMNS;
        if (row >= slow || column >= fast)
            continue;
        const uint pixel = row * fast + column;
        Pixels found;
#pragma unroll
        for (uint lane = 0; lane < LANES; ++lane) {
            /* The last frame stands in for missing ones. */
            const uint frame = min(first_frame + lane, frames - 1);
            const PIXEL value = raws[frame * size + pixel];
            found.each[lane] = value;
#ifdef LIMITED
            if (!COUNTS(value) && first_frame + lane < frames && in_use[pixel]) {
                const uint before = atomic_inc(&rejected[frame]);
                if (before < most_rejects)
                    rejects[(ulong)frame * most_rejects + before] = pixel;
            }
#endif
        }
        tile[place] = found.all;
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    const uint within = item % BATCH;
    for (uint batch = batch_of[number] + item / BATCH; batch < batch_of[number + 1];
         batch += GROUP / BATCH) {
        const uint slot = slot_of[batch * BATCH + within];
        if (slot == NO_SLOT)
            continue;
        Sums signal, variance;
        signal.all = (SUMS)(0);
        variance.all = (SUMS)(0);
        for (uint entry = entry_of[batch] + within; entry < entry_of[batch + 1]; entry += BATCH) {
            const uint place = pixel_of[entry];
            if (place == PAD)
                break;
            Pixels value;
            value.all = tile[place];
#ifdef SPLIT
            const SUM share = share_of[entry];
#else
            const SUM share = 1;
#endif
#pragma unroll
            for (uint lane = 0; lane < LANES; ++lane) {
                const PIXEL raw = value.each[lane];
                if (COUNTS(raw)) {
                    signal.each[lane] += share * (SUM)raw;
#ifdef POISSON
                    variance.each[lane] += share * share * (SUM)max(raw, (PIXEL)1);
#endif
                }
            }
        }
#ifdef SPLIT
        const SUM scale = plain_of[batch * BATCH + within] ? 1.0 : unit;
#pragma unroll
        for (uint lane = 0; lane < LANES; ++lane) {
            signal.each[lane] *= scale;
            variance.each[lane] *= scale * scale;
        }
#endif
        const ulong target = (ulong)get_group_id(0) * slots + slot;
        sums[target] = signal.all;
#ifdef POISSON
        sums[(ulong)get_num_groups(0) * slots + target] = variance.all;
#endif
    }
}

/* Groups: (bins x items / GROUP, frames / LANES, planes). Strands to totals[plane][frame][bin]. */
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void sum_bins(
    __global const SUMS *sums, __global const uint *start_of, const uint slots, const uint items,
    const uint bins, const uint frames, __global TOTAL *totals)
{
    __local TOTAL part[LANES][GROUP];
    const uint item = get_local_id(0), number = get_global_id(0) / items;
    const uint way = item % items;
    const ulong vectors = (ulong)get_num_groups(1) * get_group_id(2) + get_group_id(1);

    TOTAL total[LANES];
#pragma unroll
    for (uint lane = 0; lane < LANES; ++lane)
        total[lane] = 0;
    if (number < bins) {
        for (uint slot = start_of[number] + way; slot < start_of[number + 1]; slot += items) {
            Sums found;
            found.all = sums[vectors * slots + slot];
#pragma unroll
            for (uint lane = 0; lane < LANES; ++lane)
                total[lane] += found.each[lane];
        }
    }
#pragma unroll
    for (uint lane = 0; lane < LANES; ++lane)
        part[lane][item] = total[lane];
    for (uint half_way = items / 2; half_way; half_way /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (way < half_way) {
#pragma unroll
            for (uint lane = 0; lane < LANES; ++lane)
                part[lane][item] += part[lane][item + half_way];
        }
    }
    if (way || number >= bins)
        return;
#pragma unroll
    for (uint lane = 0; lane < LANES; ++lane) {
        const ulong frame = (ulong)get_group_id(1) * LANES + lane;
        if (frame < frames)
            totals[(get_group_id(2) * (ulong)frames + frame) * bins + number] = part[lane][item];
    }
}

/* Groups: (1, tiles). (share x (raw - dark - norm x mean of the bin)) squared, one frame. Built
   with LANES 1 and SUM double. */
#ifdef SCATTER
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void scatter_strands(
    __global const PIXEL *raw, const uint slow, const uint fast, const uint tiles_across,
    __global const ushort *pixel_of, __global const float *share_of, const double unit,
    __global const uint *batch_of, __global const uint *entry_of,
    __global const uint *slot_of, __global const uchar *plain_of,
    __global const uint *bin_of, __global const double *norm, __global const double *dark,
    __global const uchar *lost, __global const double *mean, __global double *sums)
{
    const uint item = get_local_id(0), within = item % BATCH, number = get_group_id(1);
    const uint top = number / tiles_across * ROWS, left = number % tiles_across * COLUMNS;
    for (uint batch = batch_of[number] + item / BATCH; batch < batch_of[number + 1];
         batch += GROUP / BATCH) {
        const uint strand = batch * BATCH + within, slot = slot_of[strand];
        if (slot == NO_SLOT)
            continue;
        const double middle = mean[bin_of[strand]], scale = plain_of[strand] ? 1.0 : unit;
        double sum = 0;
        for (uint entry = entry_of[batch] + within; entry < entry_of[batch + 1]; entry += BATCH) {
            const uint place = pixel_of[entry];
            if (place == PAD)
                break;
            const uint pixel = (top + place / COLUMNS) * fast + left + place % COLUMNS;
            if (lost[pixel])
                continue;
#ifdef SPLIT
            const double share = share_of[entry] * scale;
#else
            const double share = 1;
#endif
            const double off = share * ((double)raw[pixel] - dark[pixel] - norm[pixel] * middle);
            sum += off * off;
        }
        sums[slot] = sum;
    }
}
#endif
