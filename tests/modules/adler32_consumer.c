// SPDX-License-Identifier: GPL-2.0
/*
 * Uses the hash as a kernel module does. Loads only if every check holds; the
 * log has those that do not.
 */
#include <crypto/hash.h>
#include <linux/module.h>
#include <linux/unaligned.h>

#define ABC		0x024d0127	/* "abc" */
#define A		0x00620062	/* "a" */
#define WIKIPEDIA	0x11e60398	/* "Wikipedia" */

static int mismatches;

#define CHECK(expression) do {						\
	if (!(expression)) {						\
		pr_err("line %d: not %s\n", __LINE__, #expression);	\
		mismatches++;						\
	}								\
} while (0)

/* Room for a digest, and to see whether more was written. */
struct digest {
	u8 before;
	u8 bytes[4];
	u8 after;
};

static bool is(const struct digest *digest, u32 value)
{
	return digest->before == 0x5a && digest->after == 0x5a &&
	       get_unaligned_be32(digest->bytes) == value;
}

static void properties(struct crypto_shash *tfm)
{
	CHECK(crypto_shash_digestsize(tfm) == 4);
	CHECK(crypto_shash_blocksize(tfm) == 1);
	CHECK(crypto_shash_statesize(tfm) == 4);
	CHECK(!(crypto_shash_get_flags(tfm) & CRYPTO_TFM_NEED_KEY));
	CHECK(!strcmp(crypto_shash_alg_name(tfm), "adler32"));
	CHECK(!strcmp(crypto_shash_driver_name(tfm), "adler32-rust"));
}

static void every_way(struct crypto_shash *tfm, struct shash_desc *desc)
{
	struct digest out = { 0x5a, {}, 0x5a };

	/* All at once. */
	CHECK(!crypto_shash_digest(desc, "abc", 3, out.bytes));
	CHECK(is(&out, ABC));
	CHECK(!crypto_shash_tfm_digest(tfm, "Wikipedia", 9, out.bytes));
	CHECK(is(&out, WIKIPEDIA));
	CHECK(!crypto_shash_digest(desc, NULL, 0, out.bytes));
	CHECK(is(&out, 1));

	/* In pieces, some of them empty. */
	CHECK(!crypto_shash_init(desc));
	CHECK(!crypto_shash_update(desc, NULL, 0));
	CHECK(!crypto_shash_update(desc, "Wiki", 4));
	CHECK(!crypto_shash_update(desc, "pedia", 0));
	CHECK(!crypto_shash_update(desc, "pedia", 5));
	CHECK(!crypto_shash_final(desc, out.bytes));
	CHECK(is(&out, WIKIPEDIA));

	/* The last piece with the end, and no piece with the end. */
	CHECK(!crypto_shash_init(desc));
	CHECK(!crypto_shash_update(desc, "Wiki", 4));
	CHECK(!crypto_shash_finup(desc, "pedia", 5, out.bytes));
	CHECK(is(&out, WIKIPEDIA));
	CHECK(!crypto_shash_init(desc));
	CHECK(!crypto_shash_update(desc, "abc", 3));
	CHECK(!crypto_shash_finup(desc, NULL, 0, out.bytes));
	CHECK(is(&out, ABC));
	CHECK(!crypto_shash_init(desc));
	CHECK(!crypto_shash_final(desc, out.bytes));
	CHECK(is(&out, 1));
}

static void alignment(struct shash_desc *desc)
{
	static u8 data[16 + 9];
	struct digest out = { 0x5a, {}, 0x5a };

	for (int offset = 0; offset < 16; offset++) {
		memcpy(data + offset, "Wikipedia", 9);
		CHECK(!crypto_shash_digest(desc, data + offset, 9, out.bytes));
		CHECK(is(&out, WIKIPEDIA));
	}
}

static void export_and_import(struct shash_desc *desc, struct shash_desc *other)
{
	static const u32 impossible[] = {
		65521, 0xffff, 0xfff10000, 0xfff10001, 0xffffffff,
	};
	u8 state[5] = { 0, 0, 0, 0, 0x5a };
	struct digest out = { 0x5a, {}, 0x5a };

	CHECK(!crypto_shash_init(desc));
	CHECK(!crypto_shash_update(desc, "a", 1));
	CHECK(!crypto_shash_export(desc, state));
	CHECK(get_unaligned_be32(state) == A && state[4] == 0x5a);

	/* Both go on, each its own way. */
	CHECK(!crypto_shash_import(other, state));
	CHECK(!crypto_shash_update(desc, "bcde", 4));
	CHECK(!crypto_shash_finup(other, "bc", 2, out.bytes));
	CHECK(is(&out, ABC));
	CHECK(!crypto_shash_final(desc, out.bytes));
	CHECK(is(&out, 0x05c801f0));

	for (int i = 0; i < ARRAY_SIZE(impossible); i++) {
		put_unaligned_be32(impossible[i], state);
		CHECK(crypto_shash_import(other, state) == -EINVAL);
	}
	put_unaligned_be32(0xfff0fff0, state);
	CHECK(!crypto_shash_import(other, state));
	CHECK(!crypto_shash_final(other, out.bytes));
	CHECK(is(&out, 0xfff0fff0));
}

static void keys(struct crypto_shash *tfm, struct shash_desc *desc,
		 struct shash_desc *unkeyed)
{
	static const u8 a[8] = { 0x00, 0x62, 0x00, 0x62 };
	static const u8 impossible[][4] = {
		{ 0x00, 0x01, 0xff, 0xf1 },
		{ 0xff, 0xf1, 0x00, 0x01 },
		{ 0xff, 0xff, 0xff, 0xff },
	};
	struct digest out = { 0x5a, {}, 0x5a };

	CHECK(!crypto_shash_setkey(tfm, a, 4));
	CHECK(!crypto_shash_digest(desc, "bc", 2, out.bytes));
	CHECK(is(&out, ABC));
	CHECK(!crypto_shash_digest(desc, NULL, 0, out.bytes));
	CHECK(is(&out, A));

	/* A key that is refused changes nothing. */
	for (int len = 0; len <= 8; len++)
		CHECK(len == 4 || crypto_shash_setkey(tfm, a, len) == -EINVAL);
	for (int i = 0; i < ARRAY_SIZE(impossible); i++)
		CHECK(crypto_shash_setkey(tfm, impossible[i], 4) == -EINVAL);
	CHECK(!crypto_shash_init(desc));
	CHECK(!crypto_shash_finup(desc, "bc", 2, out.bytes));
	CHECK(is(&out, ABC));

	/* Another transform has no key. */
	CHECK(!crypto_shash_digest(unkeyed, "abc", 3, out.bytes));
	CHECK(is(&out, ABC));
}

static int __init consumer_init(void)
{
	struct crypto_shash *tfm, *unkeyed;

	tfm = crypto_alloc_shash("adler32-rust", 0, 0);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	unkeyed = crypto_alloc_shash("adler32-rust", 0, 0);
	if (IS_ERR(unkeyed)) {
		crypto_free_shash(tfm);
		return PTR_ERR(unkeyed);
	}

	{
		SHASH_DESC_ON_STACK(desc, tfm);
		SHASH_DESC_ON_STACK(other, unkeyed);

		desc->tfm = tfm;
		other->tfm = unkeyed;
		properties(tfm);
		every_way(tfm, desc);
		alignment(desc);
		export_and_import(desc, other);
		keys(tfm, desc, other);
	}

	crypto_free_shash(unkeyed);
	crypto_free_shash(tfm);
	return mismatches ? -EINVAL : 0;
}
module_init(consumer_init);

static void __exit consumer_exit(void)
{
}
module_exit(consumer_exit);

MODULE_DESCRIPTION("Checks the hash of the adler32 module as its user in the kernel");
MODULE_LICENSE("GPL");
