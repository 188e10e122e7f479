// SPDX-License-Identifier: GPL-2.0

/* What arm64 offers to C code only: inline functions and macros. */

#include <linux/cpufeature.h>
#include <asm/neon.h>
#include <asm/simd.h>

bool adler32_has_neon(void);
bool adler32_has_dotprod(void);
bool adler32_neon_begin(struct user_fpsimd_state *state);
void adler32_neon_end(struct user_fpsimd_state *state);

bool adler32_has_neon(void)
{
	return cpu_have_named_feature(ASIMD);
}

bool adler32_has_dotprod(void)
{
	return cpu_have_named_feature(ASIMDDP);
}

bool adler32_neon_begin(struct user_fpsimd_state *state)
{
	if (!may_use_simd())
		return false;
	kernel_neon_begin(state);
	return true;
}

void adler32_neon_end(struct user_fpsimd_state *state)
{
	kernel_neon_end(state);
}
