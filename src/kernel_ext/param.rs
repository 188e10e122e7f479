// SPDX-License-Identifier: GPL-2.0

//! Module parameters that take names.
//!
//! The parameters of the `kernel` crate take integers, and do not appear in sysfs.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use core::ffi::CStr;

use kernel::{
    bindings,
    error::from_result,
    ffi::{
        c_char,
        c_int, //
    },
    module_param::KernelParam,
    prelude::*,
    str::as_char_ptr_in_const_context,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A parameter that takes one of several names, and the last one if there are several arguments.
///
/// The file of the parameter in sysfs is read-only and contains the value.
pub(crate) struct NameParam {
    name: &'static CStr,
    names: &'static str,
    /// The index of the value in `names`.
    index: Atomic<usize>,
}

impl NameParam {
    const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: 0,
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    };

    /// Makes a parameter with this name. `names` contains the names that the parameter takes,
    /// with ", " between them, and the default first.
    pub(crate) const fn new(name: &'static CStr, names: &'static str) -> Self {
        Self {
            name,
            names,
            index: Atomic::new(0),
        }
    }

    /// Returns the entry of the parameter for the section `__param`.
    pub(crate) const fn entry(&'static self) -> KernelParam {
        KernelParam::new(bindings::kernel_param {
            name: as_char_ptr_in_const_context(self.name),
            mod_: &raw mut bindings::__this_module,
            ops: &Self::OPS,
            perm: 0o444,
            level: -1,
            flags: 0,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
                arg: core::ptr::from_ref(self).cast_mut().cast(),
            },
        })
    }

    /// Returns the names that the parameter takes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split(", ")
    }

    /// Returns the value.
    pub(crate) fn value(&self) -> &'static str {
        self.names()
            .nth(self.index.load(Relaxed))
            .unwrap_or_default()
    }

    /// Changes the value to `value` if the parameter takes that name. Returns whether it does.
    pub(crate) fn set_value(&self, value: &[u8]) -> bool {
        let index = self.names().position(|name| name.as_bytes() == value);
        if let Some(index) = index {
            self.index.store(index, Relaxed);
        }
        index.is_some()
    }

    /// Returns the parameter with this entry.
    ///
    /// # Safety
    ///
    /// `param` must point to an entry that [`Self::entry()`] returned.
    unsafe fn of_entry(param: *const bindings::kernel_param) -> &'static Self {
        // SAFETY: `entry()` stores a reference that is always valid.
        unsafe { &*(*param).__bindgen_anon_1.arg.cast() }
    }

    /// Called for each argument before the module is initialized.
    ///
    /// # Safety
    ///
    /// `value` must be a C string, and `param` must point to an entry that [`Self::entry()`]
    /// returned.
    unsafe extern "C" fn set(value: *const c_char, param: *const bindings::kernel_param) -> c_int {
        // SAFETY: The caller guarantees the same requirement.
        let this = unsafe { Self::of_entry(param) };
        // SAFETY: The caller guarantees that this is a C string. It is not null, because `OPS` does
        // not contain `KERNEL_PARAM_OPS_FL_NOARG`.
        let value = unsafe { CStr::from_ptr(value.cast()) };
        from_result(|| {
            if this.set_value(value.to_bytes()) {
                return Ok(0);
            }
            pr_err!("{} must be one of: {}\n", this.name, this.names);
            Err(EINVAL)
        })
    }

    /// Called for each read of the file in sysfs.
    ///
    /// # Safety
    ///
    /// `buffer` must be valid for writes of a page, and `param` must point to an entry that
    /// [`Self::entry()`] returned.
    unsafe extern "C" fn get(buffer: *mut c_char, param: *const bindings::kernel_param) -> c_int {
        // SAFETY: The caller guarantees the same requirement.
        let value = unsafe { Self::of_entry(param) }.value();
        let buffer: *mut u8 = buffer.cast();
        // SAFETY: A name and a newline are much shorter than a page.
        unsafe {
            buffer.copy_from_nonoverlapping(value.as_ptr(), value.len());
            buffer.add(value.len()).write(b'\n');
        }
        value.len() as c_int + 1
    }
}
