// SPDX-License-Identifier: GPL-2.0
/*
 * Commits the fault that it is told when it is loaded, so that the detector of
 * such faults has something to report.
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

static char *fault = "none";
module_param(fault, charp, 0);
MODULE_PARM_DESC(fault, "What to do wrong (default: none)");

#define SIZE 64

/* Values that the compiler cannot know. */
static int volatile one = 1;
static int volatile size = SIZE;

static noinline void faulty_none(void)
{
}

static noinline void faulty_use_after_free(void)
{
	u8 volatile *object = kmalloc(SIZE, GFP_KERNEL);

	kfree((void *)object);
	if (object)
		object[8] = 1;
}

static noinline void faulty_out_of_bounds(void)
{
	u8 volatile *object = kmalloc(SIZE, GFP_KERNEL);

	if (object)
		object[size] = 1;
	kfree((void *)object);
}

static noinline void faulty_page_after_free(void)
{
	u8 volatile *page = (u8 *)__get_free_page(GFP_KERNEL);

	free_page((unsigned long)page);
	if (page)
		page[8] = 1;
}

static noinline void faulty_vmalloc_out_of_bounds(void)
{
	u8 volatile *area = vmalloc(SIZE);

	if (area)
		area[size] = 1;
	vfree((void *)area);
}

static noinline void faulty_global_out_of_bounds(void)
{
	static u8 volatile array[SIZE];
	u8 volatile *end = array + SIZE;

	/* The compiler is not to know of which array. */
	OPTIMIZER_HIDE_VAR(end);
	*end = 1;
}

/* Tells a program of more than the object holds. */
static noinline void faulty_exposure(void)
{
	void *object = kmalloc(SIZE, GFP_KERNEL);

	/* The compiler is not to know its size. */
	OPTIMIZER_HIDE_VAR(object);
	if (object && copy_to_user(NULL, object, size + one))
		pr_info("nothing was copied\n");
	kfree(object);
}

/* More than one, as what was last allocated may still be known somewhere. */
static noinline void faulty_leak(void)
{
	for (int i = 0; i < 16; i++) {
		void *object = kzalloc(SIZE, GFP_KERNEL);

		/* The compiler is to think that it is used. */
		OPTIMIZER_HIDE_VAR(object);
	}
}

static noinline void faulty_inversion(void)
{
	static DEFINE_MUTEX(first);
	static DEFINE_MUTEX(second);

	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);

	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static noinline void faulty_sleep(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	kfree(kmalloc(SIZE, GFP_KERNEL));
	spin_unlock(&lock);
}

static void faulty_expired(struct timer_list *timer)
{
}

/* Makes a timer of one that runs. */
static noinline void faulty_timer(void)
{
	static struct timer_list timer;

	timer_setup(&timer, faulty_expired, 0);
	mod_timer(&timer, jiffies + 1000 * HZ);
	timer_setup(&timer, faulty_expired, 0);
	timer_delete_sync(&timer);
}

static noinline void faulty_list(void)
{
	LIST_HEAD(list);
	LIST_HEAD(entry);

	list_add(&entry, &list);
	list_add(&entry, &list);
}

static noinline void faulty_shift(void)
{
	one = one << size;
}

static noinline void faulty_index(void)
{
	static struct {
		int volatile array[4];
		int behind;
	} both;

	one = both.array[one + 3];
}

static noinline void faulty_warning(void)
{
	WARN(one, "a warning on purpose\n");
}

#define FAULT(name) { #name, faulty_##name }

static const struct {
	const char *name;
	void (*commit)(void);
} faults[] = {
	FAULT(none),
	FAULT(use_after_free),
	FAULT(out_of_bounds),
	FAULT(page_after_free),
	FAULT(vmalloc_out_of_bounds),
	FAULT(global_out_of_bounds),
	FAULT(exposure),
	FAULT(leak),
	FAULT(inversion),
	FAULT(sleep),
	FAULT(timer),
	FAULT(list),
	FAULT(shift),
	FAULT(index),
	FAULT(warning),
};

static int __init faulty_init(void)
{
	for (int i = 0; i < ARRAY_SIZE(faults); i++) {
		if (!strcmp(fault, faults[i].name)) {
			faults[i].commit();
			return 0;
		}
	}
	return -EINVAL;
}
module_init(faulty_init);

static void __exit faulty_exit(void)
{
}
module_exit(faulty_exit);

MODULE_DESCRIPTION("Does wrong on request, for the tests of what detects it");
MODULE_LICENSE("GPL");
