// SPDX-License-Identifier: GPL-2.0
/*
 * Takes the names that it is told: that of a misc device, that of a driver of
 * a hash called adler32 (whose digest is always zero), or both.
 */
#include <crypto/internal/hash.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

static char *device;
module_param(device, charp, 0);
MODULE_PARM_DESC(device, "Name of a misc device to register");

static char *driver;
module_param(driver, charp, 0);
MODULE_PARM_DESC(driver, "Driver name of a hash to register");

static int priority;
module_param(priority, int, 0);
MODULE_PARM_DESC(priority, "Priority of the hash");

static const struct file_operations occupier_fops = {
	.owner	= THIS_MODULE,
};

static struct miscdevice occupier_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.fops	= &occupier_fops,
};

static int occupier_init_hash(struct shash_desc *desc)
{
	return 0;
}

static int occupier_update(struct shash_desc *desc, const u8 *data,
			   unsigned int len)
{
	return 0;
}

static int occupier_final(struct shash_desc *desc, u8 *out)
{
	memset(out, 0, 4);
	return 0;
}

static struct shash_alg occupier_alg = {
	.digestsize		= 4,
	.init			= occupier_init_hash,
	.update			= occupier_update,
	.final			= occupier_final,
	.descsize		= 4,
	.base.cra_name		= "adler32",
	.base.cra_blocksize	= 1,
	.base.cra_module	= THIS_MODULE,
};

static int __init occupier_init(void)
{
	int err;

	if (device) {
		occupier_misc.name = device;
		err = misc_register(&occupier_misc);
		if (err)
			return err;
	}
	if (driver) {
		strscpy(occupier_alg.base.cra_driver_name, driver);
		occupier_alg.base.cra_priority = priority;
		err = crypto_register_shash(&occupier_alg);
		if (err) {
			if (device)
				misc_deregister(&occupier_misc);
			return err;
		}
	}
	return 0;
}
module_init(occupier_init);

static void __exit occupier_exit(void)
{
	if (driver)
		crypto_unregister_shash(&occupier_alg);
	if (device)
		misc_deregister(&occupier_misc);
}
module_exit(occupier_exit);

MODULE_DESCRIPTION("Takes the names of the adler32 module, for its tests");
MODULE_LICENSE("GPL");
