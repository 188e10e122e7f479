// SPDX-License-Identifier: GPL-2.0
/*
 * The layout of the crypto API's types, as computed by the compiler that built
 * the kernel. Kbuild turns each DEFINE into a Rust constant, and raw.rs compares
 * its own types with these constants. This file compares the types of callbacks.
 */

#include <linux/kbuild.h>
#include <crypto/internal/hash.h>

#define CHECK_CALLBACK(member, type) \
	static_assert(__same_type(((struct shash_alg *)0)->member, type))

CHECK_CALLBACK(init, int (*)(struct shash_desc *));
CHECK_CALLBACK(update, int (*)(struct shash_desc *, const u8 *, unsigned int));
CHECK_CALLBACK(finup, int (*)(struct shash_desc *, const u8 *, unsigned int, u8 *));
CHECK_CALLBACK(export, int (*)(struct shash_desc *, void *));
CHECK_CALLBACK(import, int (*)(struct shash_desc *, const void *));
CHECK_CALLBACK(setkey, int (*)(struct crypto_shash *, const u8 *, unsigned int));
CHECK_CALLBACK(init_tfm, int (*)(struct crypto_shash *));

void shash_layout(void);
void shash_layout(void)
{
	DEFINE(CRYPTO_ALG_SIZE, sizeof(struct crypto_alg));
	DEFINE(CRYPTO_ALG_ALIGN, __alignof__(struct crypto_alg));
	OFFSET(CRYPTO_ALG_FLAGS, crypto_alg, cra_flags);
	OFFSET(CRYPTO_ALG_BLOCKSIZE, crypto_alg, cra_blocksize);
	OFFSET(CRYPTO_ALG_CTXSIZE, crypto_alg, cra_ctxsize);
	OFFSET(CRYPTO_ALG_PRIORITY, crypto_alg, cra_priority);
	OFFSET(CRYPTO_ALG_NAME, crypto_alg, cra_name);
	OFFSET(CRYPTO_ALG_DRIVER_NAME, crypto_alg, cra_driver_name);
	OFFSET(CRYPTO_ALG_MODULE, crypto_alg, cra_module);
	DEFINE(ALG_NAME_SIZE, CRYPTO_MAX_ALG_NAME);

	DEFINE(SHASH_ALG_SIZE, sizeof(struct shash_alg));
	OFFSET(SHASH_ALG_INIT, shash_alg, init);
	OFFSET(SHASH_ALG_UPDATE, shash_alg, update);
	OFFSET(SHASH_ALG_FINUP, shash_alg, finup);
	OFFSET(SHASH_ALG_EXPORT, shash_alg, export);
	OFFSET(SHASH_ALG_IMPORT, shash_alg, import);
	OFFSET(SHASH_ALG_SETKEY, shash_alg, setkey);
	OFFSET(SHASH_ALG_INIT_TFM, shash_alg, init_tfm);
	OFFSET(SHASH_ALG_DESCSIZE, shash_alg, descsize);
	OFFSET(SHASH_ALG_DIGESTSIZE, shash_alg, digestsize);
	OFFSET(SHASH_ALG_STATESIZE, shash_alg, statesize);
	OFFSET(SHASH_ALG_BASE, shash_alg, base);

	OFFSET(SHASH_DESC_TFM, shash_desc, tfm);
	OFFSET(SHASH_DESC_CTX, shash_desc, __ctx);
	DEFINE(SHASH_DESC_ALIGN, __alignof__(struct shash_desc));
	OFFSET(SHASH_CTX, crypto_shash, base.__crt_ctx);
	DEFINE(SHASH_CTX_ALIGN, CRYPTO_MINALIGN);

	DEFINE(OPTIONAL_KEY, CRYPTO_ALG_OPTIONAL_KEY);
}
