//! Decides whether threads can be simulated on the target, so that the sources ask one question, `cfg(simulated)`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|v| v == value);
    let has = |name: &str, value: &str| env::var(name).is_ok_and(|v| v.split(',').any(|x| x == value));
    // The executable's own `clock_gettime` hides libc's only where libc is a shared object, and the real one
    // is found behind it only by RTLD_NEXT. Miri and the sanitizers put themselves in the same place.
    let simulated = is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && !has("CARGO_CFG_TARGET_FEATURE", "crt-static")
        && env::var_os("CARGO_CFG_MIRI").is_none()
        && env::var_os("CARGO_CFG_SANITIZE").is_none();
    if simulated {
        println!("cargo::rustc-cfg=simulated");
        println!("cargo::rustc-link-arg-examples=-no-pie");
    }
}
