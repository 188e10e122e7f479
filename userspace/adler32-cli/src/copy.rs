// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 copy`.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::process;

use adler32::describe;
use adler32::file;
use adler32::file::Options;
use adler32::Error;
use adler32::Hasher;
use adler32::Sum;
use indicatif::ProgressBar;
use rustix::fs::Advice;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::XattrFlags;
use rustix::fs::CWD;
use rustix::io::Errno;

use crate::attribute::State;
use crate::cli::CopyArgs;
use crate::cli::STDIN;
use crate::exit_code::ExitCode;
use crate::json;
use crate::line;
use crate::line::End;
use crate::line::Form;
use crate::output::Output;
use crate::quote::quote;
use crate::summer;

/// How many bytes are read, summed and written at a time.
const PIECE: usize = 1024 * 1024;

/// Copies files, and prints a line for each copy.
pub fn run(args: &CopyArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    let (target, sources) = args.files.split_last().expect("two files at least");
    let into_directory = Path::new(target).is_dir();
    anyhow::ensure!(
        into_directory || sources.len() == 1,
        "target {}: Not a directory",
        quote(target)
    );
    let bar = ProgressBar::hidden();
    output.show_progress(&bar, Some(sources));
    let mut code = ExitCode::Success;
    for source in sources {
        let copy = Copy {
            args,
            source,
            bar: &bar,
        };
        let result = destination(source, target, into_directory).and_then(|destination| {
            let sum = copy.run(&destination, output)?;
            Ok((destination, sum))
        });
        match result {
            Ok((destination, sum)) => output.print(&copy.line(destination.as_os_str(), sum)),
            Err(failure) => {
                let Failure { name, reason } = failure;
                let name = name.as_deref().unwrap_or(source);
                output.error(format_args!("{}: {reason}", quote(name)));
                code = ExitCode::Failure;
            }
        }
    }
    Ok(code)
}

/// Why a file was not copied.
struct Failure {
    /// The file, if it is not the source.
    name: Option<OsString>,
    reason: String,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let reason = describe(&error);
        Self { name: None, reason }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let reason = error.to_string();
        Self { name: None, reason }
    }
}

impl Failure {
    fn new(reason: &str) -> Self {
        let reason = reason.to_owned();
        Self { name: None, reason }
    }

    /// Returns a function that makes a failure of an error with this file.
    fn of<E: Into<io::Error>>(name: &Path) -> impl FnOnce(E) -> Self + '_ {
        |error| Self {
            name: Some(name.into()),
            reason: describe(&error.into()),
        }
    }
}

/// Returns the path of the copy.
fn destination(source: &OsStr, target: &OsStr, is_directory: bool) -> Result<PathBuf, Failure> {
    if is_directory {
        let name = Path::new(source).file_name().filter(|_| source != STDIN);
        let name = name.ok_or_else(|| Failure::new("has no name for a copy in a directory"))?;
        return Ok(Path::new(target).join(name));
    }
    Ok(target.into())
}

struct Copy<'a> {
    args: &'a CopyArgs,
    source: &'a OsStr,
    bar: &'a ProgressBar,
}

impl Copy<'_> {
    /// Copies the source. Returns the sum of the copy.
    fn run(&self, destination: &Path, output: &mut Output) -> Result<Sum, Failure> {
        let source = summer::open(self.source)?;
        let metadata = source.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::from(Errno::ISDIR).into());
        }
        // A symbolic link stays, and the file that it points to is replaced.
        let place = fs::canonicalize(destination).unwrap_or(destination.to_owned());
        match fs::metadata(&place) {
            Ok(old) if (old.dev(), old.ino()) == (metadata.dev(), metadata.ino()) => {
                let reason = format!("and {} are the same file", quote(destination.as_os_str()));
                return Err(Failure { name: None, reason });
            }
            Ok(old) if !old.is_file() => {
                let not_regular = io::Error::other("not a regular file");
                return Err(Failure::of(destination)(not_regular));
            }
            _ => {}
        }
        let failed = || Failure::of(destination);
        let mut copy = Unfinished::new(&place, &metadata).map_err(Failure::of(destination))?;
        let before = State::of(&source)?;
        // The files of /proc have a size of 0, but contain bytes.
        let sum = match metadata.is_file() && metadata.len() > 0 {
            true => self.copy_file(&source, &copy.file, destination)?,
            false => self.copy_stream(&source, &copy.file, destination)?,
        };
        if metadata.is_file() && State::of(&source)? != before {
            return Err(Failure::new("changed while it was copied"));
        }
        if self.args.preserve && metadata.is_file() {
            for warning in preserve(&source, &metadata, &copy.file) {
                output.error(format_args!(
                    "{}: {warning}",
                    quote(destination.as_os_str())
                ));
            }
        }
        if let Some(format) = self.args.xattr {
            let state = State::of(&copy.file).map_err(failed())?;
            if let Err(warning) = format.write(&copy.file, sum.checksum.value(), &state) {
                output.error(format_args!(
                    "{}: {warning}",
                    quote(destination.as_os_str())
                ));
            }
        }
        copy.file.sync_all().map_err(failed())?;
        if self.args.verify {
            self.verify(&mut copy.file, sum, destination)?;
        }
        copy.finish(&place).map_err(failed())?;
        Ok(sum)
    }

    /// Copies a regular file.
    fn copy_file(&self, source: &File, copy: &File, destination: &Path) -> Result<Sum, Failure> {
        // Where files can share blocks, nothing is written. The sum is that of the copy, which
        // nobody else can change.
        match rustix::fs::ioctl_ficlone(copy, source) {
            Ok(()) => self.sum(copy),
            Err(_) => self.copy_data(source, copy, destination),
        }
    }

    /// Copies the data of a file, and leaves holes where the file has them.
    fn copy_data(&self, source: &File, copy: &File, destination: &Path) -> Result<Sum, Failure> {
        let _ = rustix::fs::fadvise(source, 0, None, Advice::Sequential);
        let mut buffer = vec![0; PIECE];
        let mut hasher = Hasher::new();
        let mut at = 0;
        loop {
            let hole = match rustix::fs::seek(source, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => data - at,
                // Only a hole is left.
                Err(Errno::NXIO) => source.metadata()?.len().saturating_sub(at),
                Err(_) => 0,
            };
            if hole > 0 {
                hasher = Hasher::resume(hasher.sum().combine(Sum::zeros(hole)));
                at += hole;
                self.bar.inc(hole);
            }
            let end = match rustix::fs::seek(source, rustix::fs::SeekFrom::Hole(at)) {
                Ok(end) => end,
                Err(Errno::NXIO) => break,
                Err(_) => u64::MAX,
            };
            let start = at;
            while at < end {
                let length = usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE));
                let read = match source.read_at(&mut buffer[..length], at) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read?,
                };
                if read == 0 {
                    break;
                }
                hasher.update(&buffer[..read]);
                copy.write_all_at(&buffer[..read], at)
                    .map_err(Failure::of(destination))?;
                at += read as u64;
                self.bar.inc(read as u64);
            }
            if at == start || end == u64::MAX {
                break;
            }
        }
        // The file may end with a hole.
        copy.set_len(at).map_err(Failure::of(destination))?;
        Ok(hasher.sum())
    }

    /// Copies what has no holes, such as a pipe.
    fn copy_stream(
        &self,
        mut source: &File,
        mut copy: &File,
        destination: &Path,
    ) -> Result<Sum, Failure> {
        let mut buffer = vec![0; PIECE];
        let mut hasher = Hasher::new();
        loop {
            let read = match source.read(&mut buffer) {
                Ok(0) => return Ok(hasher.sum()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            hasher.update(&buffer[..read]);
            copy.write_all(&buffer[..read])
                .map_err(Failure::of(destination))?;
            self.bar.inc(read as u64);
        }
    }

    /// Reads the copy again, from the disk if that is possible.
    fn verify(&self, copy: &mut File, sum: Sum, destination: &Path) -> Result<(), Failure> {
        let _ = rustix::fs::fadvise(&*copy, 0, None, Advice::DontNeed);
        copy.seek(SeekFrom::Start(0))
            .map_err(Failure::of(destination))?;
        let read = file::checksum(&*copy, Options::default())?;
        if read == sum {
            return Ok(());
        }
        let (read, written) = (read.checksum.value(), sum.checksum.value());
        let different = format!("the copy has checksum {read:08x}, and not {written:08x}");
        Err(Failure::of(destination)(io::Error::other(different)))
    }

    fn sum(&self, copy: &File) -> Result<Sum, Failure> {
        let progress = |_, bytes| self.bar.inc(bytes);
        let options = Options {
            progress: Some(&progress),
            ..Options::default()
        };
        Ok(file::checksum(copy, options)?)
    }

    fn line(&self, destination: &OsStr, sum: Sum) -> Vec<u8> {
        if !self.args.json {
            return line::format(Form::Text, End::Newline, sum.checksum.value(), destination);
        }
        let mut object = json::object(destination, sum);
        object["source"] = self.source.to_string_lossy().into();
        object["verified"] = self.args.verify.into();
        json::line(object)
    }
}

/// Copies owner, mode, attributes and times. Returns a warning for each failure.
fn preserve(source: &File, metadata: &Metadata, copy: &File) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |what: &str, errno: io::Error| {
        warnings.push(format!("{what} not preserved: {}", describe(&errno)));
    };
    let owner = std::os::unix::fs::fchown(copy, Some(metadata.uid()), Some(metadata.gid()));
    let mut mode = metadata.permissions();
    if let Err(error) = owner {
        // Another owner must not get the rights of the old one by these bits. Only root can give
        // files away, so no warning is printed.
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, metadata.mode() & 0o777);
        if rustix::process::geteuid().is_root() {
            warn("owner", error);
        }
    }
    if let Err(error) = copy.set_permissions(mode) {
        warn("mode", error);
    }
    for name in attributes(source) {
        let mut value = vec![0; 65536];
        let copied = rustix::fs::fgetxattr(source, &*name, &mut value).and_then(|length| {
            rustix::fs::fsetxattr(copy, &*name, &value[..length], XattrFlags::empty())
        });
        if let Err(errno) = copied {
            let name = format!("attribute {}", String::from_utf8_lossy(&name));
            warn(&name, errno.into());
        }
    }
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    if let Err(errno) = rustix::fs::futimens(copy, &times) {
        warn("times", errno.into());
    }
    warnings
}

/// Returns the names of the attributes of a file. Those of the security modules belong to its
/// place.
fn attributes(file: &File) -> Vec<Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::flistxattr(file, &mut names).unwrap_or(0);
    names[..length]
        .split_inclusive(|&byte| byte == 0)
        .filter_map(|name| name.strip_suffix(b"\0"))
        .filter(|name| !name.starts_with(b"security."))
        .map(<[u8]>::to_vec)
        .collect()
}

/// A copy that has no name yet, or a temporary one.
struct Unfinished {
    file: File,
    directory: PathBuf,
    name: Option<PathBuf>,
}

impl Unfinished {
    /// Creates a file in the directory of the destination.
    fn new(destination: &Path, source: &Metadata) -> io::Result<Self> {
        let parent = destination
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new(".")).to_owned();
        let bits = match source.is_file() {
            true => source.mode() & 0o777,
            false => 0o666,
        };
        let mode = Mode::from_raw_mode(bits);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        // A file without a name vanishes if the program is killed.
        if Path::new("/proc/self/fd").exists() {
            if let Ok(file) = rustix::fs::open(&directory, flags | OFlags::TMPFILE, mode) {
                let file = File::from(file);
                let name = None;
                return Ok(Self {
                    file,
                    directory,
                    name,
                });
            }
        }
        for number in 0.. {
            let name = temporary(&directory, number);
            match rustix::fs::open(&name, flags | OFlags::CREATE | OFlags::EXCL, mode) {
                Err(Errno::EXIST) => {}
                file => {
                    let (file, name) = (file?.into(), Some(name));
                    return Ok(Self {
                        file,
                        directory,
                        name,
                    });
                }
            }
        }
        unreachable!("a number is unused");
    }

    /// Gives the file its name.
    fn finish(mut self, destination: &Path) -> io::Result<()> {
        if self.name.is_none() {
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            for number in 0.. {
                let name = temporary(&self.directory, number);
                match rustix::fs::linkat(CWD, &path, CWD, &name, AtFlags::SYMLINK_FOLLOW) {
                    Err(Errno::EXIST) => {}
                    linked => {
                        linked?;
                        self.name = Some(name);
                        break;
                    }
                }
            }
        }
        if let Some(name) = &self.name {
            fs::rename(name, destination)?;
            self.name = None;
        }
        // Some file systems do not support this.
        let _ = File::open(&self.directory).and_then(|directory| directory.sync_all());
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::remove_file(name);
        }
    }
}

fn temporary(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!(".adler32-copy.{}.{number}", process::id()))
}
