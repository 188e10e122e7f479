// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum` and `adler32 bench` in every state of the module.

use std::fs;
use std::path::Path;

use libtest_mimic::Completion;
use serde_json::Value;

use adler32_tests::alg;
use adler32_tests::alg::Restricted;
use adler32_tests::module;
use adler32_tests::module::Loaded;
use adler32_tests::process::fresh_user;
use adler32_tests::reference;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::try_sh;
use adler32_tests::try_sh_as;

trials!(after install:
    sum_agrees_over_every_backend,
    sum_of_standard_input,
    sum_without_the_module,
    sum_where_af_alg_is_closed,
    sum_where_the_node_is_forbidden,
    bench_measures_every_backend,
    bench_without_the_module,
);

/// A copy of the command that every user may run.
pub const COMMAND: &str = "/tmp/adler32";

/// Copies the command and unloads the module.
pub fn install() {
    module::ensure_unloaded();
    if !Path::new(COMMAND).exists() {
        sh(&format!("install $(command -v adler32) {COMMAND}"));
    }
}

fn sum_agrees_over_every_backend() {
    module::ensure_loaded();
    let data = reference::noise(1_100_000, 70);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().display();
    for len in [0, 1, 32_768, 65_537, 1_100_000] {
        fs::write(file.path(), &data[..len]).expect("write");
        let expected = format!("{:08x}  {path}\n", reference::adler(&data[..len]));
        assert_eq!(sh(&format!("{COMMAND} sum {path}")), expected);
        for backend in ["device", "ioctl", "afalg", "cpu"] {
            // The output contains no message about another backend.
            assert_eq!(
                sh(&format!("{COMMAND} sum --via {backend} {path}")),
                expected,
                "{backend}"
            );
        }
    }
    assert_eq!(module::refcount(), Some(0));
}

fn sum_of_standard_input() {
    module::ensure_loaded();
    for backend in ["device", "ioctl", "afalg", "cpu"] {
        let output = sh(&format!(
            "printf Wikipedia | {COMMAND} sum --via {backend} -"
        ));
        assert_eq!(output, "11e60398  -\n", "{backend}");
    }
}

fn sum_without_the_module() {
    for backend in ["device", "ioctl"] {
        let (success, output) = try_sh(&format!("printf abc | {COMMAND} sum --via {backend}"));
        assert!(
            !success && output.contains("modprobe adler32"),
            "{backend}: {output}"
        );
    }
    assert!(!module::is_loaded());
    assert_eq!(sh(&format!("printf abc | {COMMAND} sum")), "024d0127  -\n");
    assert!(!module::is_loaded(), "the cpu backend loaded the module");
}

fn sum_where_af_alg_is_closed() -> Completion {
    if alg::restriction().is_none() {
        return Completion::ignored_with("this kernel has no crypto.af_alg_restrict");
    }
    for level in [1, 2] {
        let _restricted = Restricted::to(level);
        for (prepare, backend) in [
            (module::ensure_loaded as fn(), "device"),
            (module::ensure_unloaded, "cpu"),
        ] {
            prepare();
            let output = sh(&format!("printf abc | {COMMAND} sum --via afalg"));
            assert!(
                output.contains(&format!("level {level} of crypto.af_alg_restrict"))
                    && output.contains("as root: sysctl crypto.af_alg_restrict=0")
                    && output.contains(&format!("(used instead: {backend})"))
                    && output.ends_with("\n024d0127  -\n"),
                "{output}"
            );
        }
    }
    Completion::Completed
}

fn sum_where_the_node_is_forbidden() {
    let _loaded = Loaded::new(module::NAME, "mode=0600");
    let (success, output) = try_sh_as(
        fresh_user(),
        &format!("printf abc | {COMMAND} sum --via device"),
    );
    assert!(!success && output.contains("0600"), "{output}");
    assert_eq!(
        try_sh_as(fresh_user(), &format!("printf abc | {COMMAND} sum")),
        (true, "024d0127  -\n".to_owned())
    );
}

/// Returns the report of `adler32 bench` on a file of `data`.
fn bench(data: &[u8]) -> Value {
    // Any use of AF_ALG loads it.
    let _ = alg::Hash::bind("none");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), data).expect("write");
    let path = file.path().display();
    let options = "--json --size 1 --rounds 1";
    let report = sh(&format!("{COMMAND} bench {options} --file {path}"));
    serde_json::from_str(&report).expect("JSON")
}

fn bench_measures_every_backend() {
    module::ensure_loaded();
    let data = reference::noise(200_000, 71);
    let report = bench(&data);
    assert_eq!(report["unavailable"], Value::Object(Default::default()));
    assert_eq!(report["module"], module::default_implementation());
    let workloads = report["workloads"].as_array().expect("workloads");
    assert_eq!(workloads.len(), 4);
    // The command itself checks that all backends agree.
    let sum = format!("{:08x}", reference::adler(&data));
    assert_eq!(workloads[0]["adler32"], sum);
    for workload in workloads {
        let backends = workload["backends"].as_array().expect("backends");
        for name in ["device", "ioctl", "afalg", "cpu"] {
            let backend = backends.iter().find(|backend| backend["name"] == name);
            let rate = backend.and_then(|backend| backend["best"].as_f64());
            assert!(rate > Some(0.0), "{name} in {workload}");
        }
    }
    assert_eq!(module::refcount(), Some(0));
}

fn bench_without_the_module() {
    let report = bench(b"abc");
    for backend in ["device", "ioctl", "afalg"] {
        let why = report["unavailable"][backend].as_str().expect("a reason");
        assert!(why.contains("modprobe adler32"), "{backend}: {why}");
    }
    assert_eq!(report["workloads"][0]["adler32"], "024d0127");
    assert!(!module::is_loaded(), "adler32 bench loaded the module");
}
