// SPDX-License-Identifier: GPL-2.0
/*
 * Lets a program measure the hash as kernel modules use it. In the folder
 * adler32_bench of debugfs, a batch digests the buffer several times; "size"
 * and "rounds" say how much of the buffer and how often, and each reading of
 * "batch" runs one and gives its nanoseconds and the digest.
 */
#include <crypto/hash.h>
#include <linux/debugfs.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#define MAX_SIZE	(1 << 20)

static struct crypto_shash *tfm;
static struct dentry *folder;
static u8 *buffer;
static u32 size = MAX_SIZE;
static u32 rounds = 1;

static int batch_show(struct seq_file *seq, void *unused)
{
	SHASH_DESC_ON_STACK(desc, tfm);
	u32 len = min(READ_ONCE(size), MAX_SIZE);
	u32 count = READ_ONCE(rounds);
	u8 digest[4];
	u64 start, end;
	int error;

	desc->tfm = tfm;
	/* Not counted: it brings the buffer to the caches again. */
	error = crypto_shash_digest(desc, buffer, len, digest);
	start = ktime_get_ns();
	for (u32 i = 0; i < count && !error; i++)
		error = crypto_shash_digest(desc, buffer, len, digest);
	end = ktime_get_ns();
	if (error)
		return error;
	seq_printf(seq, "%llu %08x\n", end - start, get_unaligned_be32(digest));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(batch);

static int __init bench_init(void)
{
	tfm = crypto_alloc_shash("adler32-rust", 0, 0);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	buffer = kmalloc(MAX_SIZE, GFP_KERNEL);
	if (!buffer) {
		crypto_free_shash(tfm);
		return -ENOMEM;
	}
	for (u32 i = 0; i < MAX_SIZE; i++)
		buffer[i] = i * 2654435761u >> 24;
	folder = debugfs_create_dir("adler32_bench", NULL);
	debugfs_create_u32("size", 0600, folder, &size);
	debugfs_create_u32("rounds", 0600, folder, &rounds);
	debugfs_create_file("batch", 0400, folder, NULL, &batch_fops);
	return 0;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	debugfs_remove(folder);
	kfree(buffer);
	crypto_free_shash(tfm);
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Measures the hash of the adler32 module as its user in the kernel");
MODULE_LICENSE("GPL");
