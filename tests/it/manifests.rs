//! The containers in `examples/`: the image is built as the Dockerfile says, and run as the compose file and the
//! Kubernetes manifest say, as far as runc knows what they ask for: words, user, rights, mounts, probes, the end.

use crate::harness::{self, Bundle, Sandbox, needs, process, words};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

const WEB: &str = ".spec.template.spec.containers[0]";

fn can_build() -> bool {
    harness::containers() && harness::tool("buildah") && harness::tool("umoci") && harness::tool("busybox")
}

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// The image, built of what the Dockerfile asks for and of nothing else, ready to run.
#[track_caller]
fn build(sandbox: &Sandbox) -> Bundle<'_> {
    let context = sandbox.path("context");
    fs::create_dir_all(context.join("www")).unwrap();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &context.join("vsrun"));
    harness::sandbox::copy(&harness::find_tool("busybox").unwrap(), &context.join("busybox"));
    fs::write(context.join("www/index.html"), "a page in a container\n").unwrap();
    let image = format!("{}:web", sandbox.path("image").display());
    let line = words!["bud", "--isolation", "chroot", "--file", example("Dockerfile")];
    harness::buildah(sandbox, [line, words!["--tag", format!("oci:{image}"), context]].concat()).exited(0);
    let bundle = Bundle::of_image(sandbox, &image);
    assert_eq!(harness::names(&bundle.root()), ["busybox", "vsrun", "www"]);
    bundle
}

/// What a command makes of a file: its lines.
#[track_caller]
fn read(sandbox: &Sandbox, tool: &str, line: Vec<OsString>) -> Vec<String> {
    sandbox.program(&harness::find_tool(tool).unwrap(), line).finish().exited(0).out.clone()
}

/// That part of the Kubernetes manifest, as JSON or as a bare word.
#[track_caller]
fn manifest(sandbox: &Sandbox, filter: &str) -> Vec<String> {
    read(sandbox, "yq", words!["-r", "-c", filter, example("kubernetes.yaml")])
}

#[track_caller]
fn seconds(words: &[String], option: &str) -> u64 {
    let at = words.iter().position(|word| word == option).unwrap();
    words[at + 1].strip_suffix('s').unwrap().parse().unwrap()
}

/// Waits until the server answers, asked from inside.
#[track_caller]
fn await_page(bundle: &Bundle<'_>) {
    let ask = words!["/busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html"];
    harness::await_true("the page", || bundle.exec(ask.clone()).finish().out == ["a page in a container"]);
}

/// The server crashes, and is there again before anybody outside takes notice.
#[track_caller]
fn crash(bundle: &Bundle<'_>, probe: &[String]) {
    let probe: Vec<OsString> = probe.iter().map(OsString::from).collect();
    let first = bundle.first();
    let server = process::children(first)[0];
    bundle.exec(probe.clone()).finish().exited(0);
    bundle.exec(words!["/busybox", "killall", "-SEGV", "busybox"]).finish();
    harness::await_true("the first server's end", || process::reaped(server));
    await_page(bundle);
    bundle.exec(probe).finish().exited(0);
    assert_eq!((bundle.first(), process::gone(first)), (first, false), "the container is the same");
}

#[test]
fn the_dockerfile_makes_an_image_that_runs_as_it_says() {
    needs!(can_build());
    let sandbox = Sandbox::new();
    let bundle = build(&sandbox);
    // What the comment in it tells people to do.
    bundle.change(".root.readonly = true | .process.capabilities = {}", words![]);
    let runc = bundle.start();
    await_page(&bundle);
    let first = bundle.first();
    assert_eq!(process::status(first, "Uid"), "1000\t1000\t1000\t1000");
    assert!(harness::bundle::read_only(first));
    // Who has answered the call may still be on its way out.
    harness::await_true("the server, and nobody else", || bundle.others().len() == 1);
    bundle.kill("TERM");
    runc.finish().exited(128 + libc::SIGTERM);

    let settings = read(&sandbox, "jq", words!["-r", ".process.args[]", bundle.config()]);
    let longest = seconds(&settings, "--stop-timeout") + seconds(&settings, "--linger");
    assert!(longest < 10, "docker stop waits for 10 s");
}

#[test]
fn the_compose_file_runs_as_it_says() {
    needs!(can_build(), harness::tool("docker-compose"), harness::tool("yq"));
    let sandbox = Sandbox::new();
    let checked = words!["--file", example("compose.yaml"), "config"];
    fs::write(sandbox.path("compose"), read(&sandbox, "docker-compose", checked).join("\n")).unwrap();
    let get = |filter: &str| read(&sandbox, "yq", words!["-r", "-c", filter, sandbox.path("compose")]);
    let service = get(".services.web").remove(0);

    let bundle = build(&sandbox);
    let filter = r#"($ARGS.positional[0] | fromjson) as $service
        | .process.args = $service.entrypoint + $service.command
        | .root.readonly = $service.read_only
        | if $service.cap_drop == ["ALL"] then .process.capabilities = {} else . end
        | .process.noNewPrivileges = ($service.security_opt | contains(["no-new-privileges:true"]))
        | ($service.tmpfs[0] | split(":")) as $run
        | .mounts = [.mounts[] | select(.destination != $run[0])]
            + [{destination: $run[0], type: "tmpfs", source: "tmpfs", options: ($run[1] | split(","))}]"#;
    bundle.change(filter, words![service]);
    let runc = bundle.start();
    await_page(&bundle);
    assert!(harness::bundle::read_only(bundle.first()));
    assert_eq!(process::status(bundle.first(), "NoNewPrivs"), "1");
    let health = get(".services.web.healthcheck.test[]");
    assert_eq!(health[0], "CMD");
    crash(&bundle, &health[1..]);
    bundle.kill("TERM");
    runc.finish().exited(0);

    let grace = get(".services.web.stop_grace_period")[0].strip_suffix('s').unwrap().parse::<u64>().unwrap();
    assert!(seconds(&get(".services.web.entrypoint[]"), "--stop-timeout") < grace);
}

#[test]
fn the_kubernetes_manifest_runs_as_it_says() {
    needs!(can_build(), harness::tool("yq"));
    let sandbox = Sandbox::new();
    let pod = manifest(&sandbox, ".spec.template.spec").remove(0);
    let bundle = build(&sandbox);
    let filter = r#"($ARGS.positional[0] | fromjson) as $pod | $pod.containers[0] as $container
        | .process.args = $container.command + $container.args
        | .process.user = {uid: $pod.securityContext.runAsUser, gid: $pod.securityContext.runAsGroup}
        | .root.readonly = $container.securityContext.readOnlyRootFilesystem
        | .process.noNewPrivileges = ($container.securityContext.allowPrivilegeEscalation | not)
        | if $container.securityContext.capabilities.drop == ["ALL"] then .process.capabilities = {} else . end
        | .mounts = [.mounts[] | select(.destination != "/run")]
            + [$container.volumeMounts[] | {destination: .mountPath, type: "tmpfs", source: "tmpfs",
                options: ["mode=1777"]}]"#;
    bundle.change(filter, words![pod]);
    let runc = bundle.start();
    await_page(&bundle);
    assert_eq!(process::status(bundle.first(), "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(process::status(bundle.first(), "NoNewPrivs"), "1");
    assert!(harness::bundle::read_only(bundle.first()));

    // The readiness probe asks where the server listens, and for a page that is there.
    let asked = manifest(&sandbox, &format!("{WEB} | .readinessProbe.httpGet.path, .ports[0].containerPort"));
    assert_eq!(asked, ["/index.html", "8080"]);
    crash(&bundle, &manifest(&sandbox, &format!("{WEB}.livenessProbe.exec.command[]")));

    // As a pod ends: the server goes on for a while after TERM.
    let command = manifest(&sandbox, &format!("{WEB}.command[]"));
    let (pause, since) = (seconds(&command, "--stop-delay"), std::time::Instant::now());
    bundle.kill("TERM");
    await_page(&bundle);
    runc.finish().exited(0);
    assert!(since.elapsed().as_secs() >= pause, "{:?}", since.elapsed());
    let grace: u64 = manifest(&sandbox, ".spec.template.spec.terminationGracePeriodSeconds")[0].parse().unwrap();
    assert!(pause + seconds(&command, "--stop-timeout") < grace);
}
