//! The container examples in `examples/`. The image is built from the Dockerfile, and runc runs it with those settings
//! of the compose file, the Kubernetes manifest and the quadlet that runc knows: arguments, user, capabilities, mounts,
//! probes and stopping.

use crate::harness::{self, Bundle, Sandbox, needs, process, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

const WEB: &str = ".spec.template.spec.containers[0]";

fn can_build() -> bool {
    harness::can_run_containers() && harness::tool("buildah") && harness::tool("umoci") && harness::tool("busybox")
}

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// Builds the image of the Dockerfile, from only the files that it needs, and unpacks it, ready to run.
#[track_caller]
fn build(sandbox: &Sandbox) -> Bundle<'_> {
    let context = sandbox.path("context");
    fs::create_dir_all(context.join("www")).unwrap();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &context.join("vsrun"));
    harness::sandbox::copy(&harness::find_tool("busybox").unwrap(), &context.join("busybox"));
    fs::write(context.join("www/index.html"), "a page in a container\n").unwrap();
    let image = format!("{}:web", sandbox.path("image").display());
    let line = words!["bud", "--isolation", "chroot", "--file", example("Dockerfile")];
    harness::buildah(sandbox, [line, words!["--tag", format!("oci:{image}"), context]].concat()).assert_exited(0);
    let bundle = Bundle::of_image(sandbox, &image);
    assert_eq!(harness::names(&bundle.root()), ["busybox", "vsrun", "www"]);
    bundle
}

/// Runs a tool, and returns the lines that it prints.
#[track_caller]
fn read(sandbox: &Sandbox, tool: &str, line: Vec<OsString>) -> Vec<String> {
    sandbox.program(&harness::find_tool(tool).unwrap(), line).finish().assert_exited(0).out.clone()
}

/// Returns what a yq filter selects from the Kubernetes manifest: JSON, or a string without quotes.
#[track_caller]
fn manifest(sandbox: &Sandbox, filter: &str) -> Vec<String> {
    read(sandbox, "yq", words!["-r", "-c", filter, example("kubernetes.yaml")])
}

#[track_caller]
fn seconds(words: &[String], option: &str) -> u64 {
    let at = words.iter().position(|word| word == option).unwrap();
    words[at + 1].strip_suffix('s').unwrap().parse().unwrap()
}

/// Waits until the server answers a request from inside the container.
#[track_caller]
fn await_page(bundle: &Bundle<'_>) {
    let ask = words!["/busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html"];
    harness::await_true("the page", || bundle.exec(ask.clone()).finish().out == ["a page in a container"]);
}

/// Asserts that a readiness probe or health check succeeds when it is run in the container.
#[track_caller]
fn assert_succeeds(bundle: &Bundle<'_>, probe: &[String]) {
    bundle.exec(probe.iter().map(OsString::from).collect()).finish().assert_exited(0);
}

/// Crashes the server again and again, until vsrun gives up and the container ends.
#[track_caller]
fn crash_for_good(bundle: &Bundle<'_>, container: harness::Running) {
    harness::await_true("the end of the container", || {
        bundle.exec(words!["/busybox", "killall", "-SEGV", "busybox"]).finish();
        !container.is_running()
    });
    container.finish().assert_exited(128 + libc::SIGSEGV);
}

/// Crashes the server once. vsrun restarts it, and the container goes on.
#[track_caller]
fn crash(bundle: &Bundle<'_>, probe: &[String]) {
    let probe: Vec<OsString> = probe.iter().map(OsString::from).collect();
    let first = bundle.pid1();
    let server = process::children(first)[0];
    bundle.exec(probe.clone()).finish().assert_exited(0);
    bundle.exec(words!["/busybox", "killall", "-SEGV", "busybox"]).finish();
    harness::await_true("the first server's end", || process::reaped(server));
    await_page(bundle);
    bundle.exec(probe).finish().assert_exited(0);
    assert_eq!((bundle.pid1(), process::gone(first)), (first, false), "the container is the same");
}

#[test]
fn the_dockerfile_makes_an_image_that_runs_as_it_says() {
    needs!(can_build());
    let sandbox = Sandbox::new();
    let bundle = build(&sandbox);
    // The options of `docker run` in the Dockerfile's first comment: a read-only root and no capabilities.
    bundle.change(".root.readonly = true | .process.capabilities = {}", words![]);
    let runc = bundle.start();
    await_page(&bundle);
    let first = bundle.pid1();
    assert_eq!(process::status(first, "Uid"), "1000\t1000\t1000\t1000");
    assert!(harness::bundle::read_only(first));
    // The server's child that answered the request may still be exiting.
    harness::await_true("the server, and no other process", || bundle.pids_except_pid1().len() == 1);
    bundle.kill("TERM");
    runc.finish().assert_exited(128 + libc::SIGTERM);

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
    assert!(harness::bundle::read_only(bundle.pid1()));
    assert_eq!(process::status(bundle.pid1(), "NoNewPrivs"), "1");
    let health = get(".services.web.healthcheck.test[]");
    assert_eq!(health[0], "CMD");
    crash(&bundle, &health[1..]);
    bundle.kill("TERM");
    runc.finish().assert_exited(0);

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
                options: ["mode=1777"]}]
            + [{destination: "/dev/termination-log", type: "bind", source: $ARGS.positional[1],
                options: ["bind", "rw"]}]"#;
    // The kubelet creates this file so that every user of the container may write to it.
    let message = sandbox.path("message");
    fs::write(&message, "").unwrap();
    fs::set_permissions(&message, fs::Permissions::from_mode(0o666)).unwrap();
    bundle.change(filter, words![pod, &message]);
    let runc = bundle.start();
    await_page(&bundle);
    assert_eq!(process::status(bundle.pid1(), "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(process::status(bundle.pid1(), "NoNewPrivs"), "1");
    assert!(harness::bundle::read_only(bundle.pid1()));

    // Each probe requests an existing page from the server's port. Its timeout is longer than that of `--probe`.
    let port = &manifest(&sandbox, &format!("{WEB}.ports[0].containerPort"))[0];
    for probe in ["startupProbe", "readinessProbe"] {
        let command = manifest(&sandbox, &format!("{WEB}.{probe}.exec.command[]"));
        assert_succeeds(&bundle, &command);
        assert!(command[2].starts_with(&format!("{port}/")), "{command:?}");
        let time = manifest(&sandbox, &format!("{WEB}.{probe}.timeoutSeconds"))[0].parse::<u64>().unwrap();
        assert!(time > 1, "{probe}");
        let wrong = words![&command[0], &command[1], format!("{port}/no-such-page")];
        bundle.exec(wrong).finish().assert_failed(1, &["HTTP status 404"]);
    }
    crash(&bundle, &manifest(&sandbox, &format!("{WEB}.livenessProbe.exec.command[]")));

    // As when a pod is terminated: after SIGTERM the server still serves for a while.
    let command = manifest(&sandbox, &format!("{WEB}.command[]"));
    let (pause, since) = (seconds(&command, "--stop-delay"), std::time::Instant::now());
    bundle.kill("TERM");
    await_page(&bundle);
    runc.finish().assert_exited(0);
    assert!(since.elapsed().as_secs() >= pause, "{:?}", since.elapsed());
    let grace: u64 = manifest(&sandbox, ".spec.template.spec.terminationGracePeriodSeconds")[0].parse().unwrap();
    assert!(pause + seconds(&command, "--stop-timeout") < grace);

    // The termination message is in the file that Kubernetes reads by default, and a normal stop leaves it empty.
    assert_eq!(manifest(&sandbox, &format!("{WEB}.terminationMessagePath")), ["null"]);
    assert_eq!(harness::text(&message), "");
    // runc gives a tmpfs the mode of its mount point, which the first run has created, so remove that directory.
    fs::remove_dir(bundle.root().join("run")).unwrap();
    let runc = bundle.start();
    await_page(&bundle);
    crash_for_good(&bundle, runc);
    let reported = harness::text(&message);
    assert!(
        reported.starts_with("vsrun: giving up after too many restarts: the server killed by signal 11 "),
        "{reported}"
    );
    assert!(reported.ends_with(" restarts: 5\n") && reported.lines().count() == 1, "{reported}");
}

/// Returns the keys and values in a section of the quadlet, in their order.
fn quadlet(section: &str) -> Vec<(String, String)> {
    let text = harness::text(&example("web.container"));
    let lines = text.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
    let lines =
        lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('=').map(|(key, value)| (key.into(), value.into())).unwrap()).collect()
}

#[test]
fn the_quadlet_runs_as_it_says() {
    needs!(can_build());
    let sandbox = Sandbox::new();
    let bundle = build(&sandbox);
    let mut health = Vec::new();
    let (mut entrypoint, mut stop_timeout) = (Vec::new(), 0);
    let list = |text: &str| read(&sandbox, "jq", words!["-n", "-r", format!("{text} | .[]")]);
    // Changes the settings of runc as each key of the quadlet demands. A key that is not listed here fails the test.
    for (key, value) in quadlet("Container") {
        let filter = match key.as_str() {
            "Entrypoint" => {
                entrypoint = list(&value);
                ".process.args = ($ARGS.positional[0] | fromjson)"
            }
            "Exec" => r#".process.args += ($ARGS.positional[0] | split(" "))"#,
            "User" => ".process.user.uid = ($ARGS.positional[0] | tonumber)",
            "Group" => ".process.user.gid = ($ARGS.positional[0] | tonumber)",
            "ReadOnly" => r#".root.readonly = ($ARGS.positional[0] == "true")"#,
            "NoNewPrivileges" => r#".process.noNewPrivileges = ($ARGS.positional[0] == "true")"#,
            "DropCapability" => r#"if $ARGS.positional[0] == "all" then .process.capabilities = {} else . end"#,
            "Tmpfs" => {
                r#"($ARGS.positional[0] | split(":")) as $place
                | .mounts = [.mounts[] | select(.destination != $place[0])]
                    + [{destination: $place[0], type: "tmpfs", source: "tmpfs", options: ($place[1] | split(","))}]"#
            }
            "HealthCmd" => {
                health = list(&value);
                "."
            }
            "StopTimeout" => {
                stop_timeout = value.parse().unwrap();
                "."
            }
            // runc forwards readiness messages if NOTIFY_SOCKET is set, which this test does. The keys that change
            // nothing are for Podman itself.
            "Notify" => {
                assert_eq!(value, "true");
                "."
            }
            "Image" | "RunInit" | "PublishPort" | "HealthInterval" | "HealthTimeout" | "ReadOnlyTmpfs" => ".",
            _ => panic!("what does {key} change?"),
        };
        bundle.change(filter, words![value]);
    }
    let address = sandbox.path("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    let runc = bundle.run().env("NOTIFY_SOCKET", &address).start();
    let mut message = [0; 256];
    let length = harness::receive(&socket, &mut message);
    assert!(message[..length].starts_with(b"READY=1"), "{:?}", String::from_utf8_lossy(&message[..length]));
    // READY=1 has arrived, so the server must already answer.
    assert_succeeds(&bundle, &health);
    await_page(&bundle);
    let first = bundle.pid1();
    assert_eq!(process::status(first, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(process::status(first, "Gid"), "1000\t1000\t1000\t1000");
    assert_eq!(
        (process::status(first, "CapBnd").as_str(), process::status(first, "NoNewPrivs").as_str()),
        ("0000000000000000", "1")
    );
    assert!(harness::bundle::read_only(first));
    crash(&bundle, &health);
    bundle.kill("TERM");
    runc.finish().assert_exited(0);
    let service = quadlet("Service");
    let (_, stop) = service.iter().find(|(key, _)| key == "TimeoutStopSec").unwrap();
    assert!(seconds(&entrypoint, "--stop-timeout") < stop_timeout && stop_timeout < stop.parse().unwrap());
}
