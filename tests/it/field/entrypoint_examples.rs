//! The images without a shell in `examples/entrypoints`. Each root directory is made from Debian's packages, built as
//! the image's Dockerfile says, and run as the compose file says: read-only, with its user, capabilities, secret and
//! volume.

use super::{SLOW_STEP_LIMIT, can_run_field_tests, descendants};
use crate::harness::{self, Bundle, Call, ProcessResult, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// The secret has a quote, which a program that writes SQL or a shell script may escape wrongly.
const SECRET: &str = "pl4nted's3cret";

/// A part of the secret that no escaping changes.
const SECRET_PART: &[u8] = b"pl4nted";

fn can_run(programs: &[&str]) -> bool {
    let tools = ["buildah", "umoci", "docker-compose", "yq", "nsenter", "busybox", "ldd"];
    can_run_field_tests(programs) && harness::can_run_containers() && tools.iter().all(|name| harness::tool(name))
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/entrypoints").join(name)
}

/// A jq filter that adds the settings of the compose file to those of runc.
const COMPOSE_TO_RUNC_FILTER: &str = r#"($ARGS.positional[0] | fromjson) as $service | $ARGS.positional[1] as $secret
    | $ARGS.positional[2] as $volume
    | if $service.cap_drop == ["ALL"] then ($service.cap_add // [] | map("CAP_" + .)) as $caps
        | .process.capabilities = {bounding: $caps, effective: $caps, permitted: $caps} else . end
    | .process.noNewPrivileges = ($service.security_opt | contains(["no-new-privileges:true"]))
    | .root.readonly = $service.read_only
    | .process.env += [$service.environment // {} | to_entries[] | "\(.key)=\(.value)"]
    | ([$service.tmpfs // [] | .[] | split(":")
            | {destination: .[0], type: "tmpfs", source: "tmpfs", options: (.[1] | split(","))}]
        + [$service.secrets // [] | .[]
            | {destination: "/run/secrets/\(.source)", type: "bind", source: $secret, options: ["bind", "ro"]}]
        + [$service.volumes // [] | .[] | split(":")
            | {destination: .[1], type: "bind", source: $volume, options: ["bind", "rw"]}]) as $mounts
    | .mounts |= map(select(.destination as $place | $place != "/run" and all($mounts[]; .destination != $place)))
    | .mounts += $mounts"#;

struct Image<'place> {
    sandbox: &'place Sandbox,
    bundle: Bundle<'place>,
    health: Vec<OsString>,
    /// The mount points of the tmpfs file systems, which runc makes.
    tmpfs: Vec<PathBuf>,
    /// The user that the server runs as.
    user: u32,
}

impl<'place> Image<'place> {
    /// Builds the image and the bundle of a container. `data` is the path in the image that the volume is mounted on.
    #[track_caller]
    fn new(sandbox: &'place Sandbox, name: &str, data: Option<&str>) -> Self {
        let context = sandbox.path("context");
        fs::create_dir(&context).unwrap();
        let make = sandbox.program(&example("make-root"), words![name, sandbox.path("vsrun")]).directory(&context);
        finish(make).assert_exited(0).assert_silent();
        let image = format!("{}:{name}", sandbox.path("image").display());
        let file = example(name).join("Dockerfile");
        let line = words!["bud", "--isolation", "chroot", "--file", file, "--tag", format!("oci:{image}"), context];
        harness::buildah(sandbox, line).assert_exited(0);
        let bundle = Bundle::of_image(sandbox, &image);
        assert_no_shell(&bundle.root());
        // The image replaces this shell script, which must at least have no syntax error.
        sandbox
            .program(Path::new("/bin/sh"), words!["-n", example(name).join("entrypoint.sh")])
            .finish()
            .assert_exited(0);
        // These directories take more than 100 MB, and are no longer needed.
        for name in ["context", "store", "image"] {
            fs::remove_dir_all(sandbox.path(name)).unwrap();
        }

        let service = service(sandbox, name);
        let get = |filter: &str| read(sandbox, "jq", words!["-n", "-r", format!("{service} | {filter}")]);
        let container = read(sandbox, "jq", words![".process.user.uid", bundle.config()])[0].parse().unwrap();
        let (secret, volume) = (sandbox.path("secret"), sandbox.path("volume"));
        fs::write(&secret, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).unwrap();
        chown(&secret, Some(container), Some(container)).unwrap();
        fs::create_dir(&volume).unwrap();
        let mut user = container;
        if let Some(data) = data {
            // A container engine gives a new volume the owner and the mode of the directory in the image.
            let about = fs::metadata(bundle.root().join(data)).unwrap();
            chown(&volume, Some(about.uid()), Some(about.gid())).unwrap();
            fs::set_permissions(&volume, about.permissions()).unwrap();
            user = about.uid();
        }
        assert_ne!(user, 0);
        // vsrun's own timeouts are shorter than the engine's, so that vsrun kills what does not exit before the engine
        // does.
        let words = read(sandbox, "jq", words!["-r", ".process.args[]", bundle.config()]);
        let seconds = |text: &str| text.strip_suffix('s').unwrap().parse::<u64>().unwrap();
        let limits = words.windows(2).filter(|pair| ["--stop-timeout", "--linger"].contains(&&*pair[0]));
        let longest: u64 = limits.map(|pair| seconds(&pair[1])).sum();
        assert!((1..seconds(&get(".stop_grace_period")[0])).contains(&longest), "{longest} s: {service}");
        let health = get(".healthcheck.test[]");
        assert_eq!(health[0], "CMD");
        let health = health[1..].iter().map(OsString::from).collect();
        let tmpfs = get(".tmpfs // [] | .[]");
        let tmpfs = tmpfs.iter().map(|text| bundle.root().join(text[1..].split(':').next().unwrap())).collect();
        bundle.change(COMPOSE_TO_RUNC_FILTER, words![service, secret, volume]);
        Self { sandbox, bundle, health, tmpfs, user }
    }

    /// Starts the container, waits until its health check succeeds, and asserts that its processes are unprivileged.
    #[track_caller]
    fn start(&self) -> Running {
        // Removes what an earlier container has left: runc gives a tmpfs the mode of an existing mount point.
        let _ = fs::remove_file(self.bundle.config().with_file_name("pid"));
        for place in &self.tmpfs {
            let _ = fs::remove_dir(place);
        }
        let container = self.bundle.start();
        harness::await_within(SLOW_STEP_LIMIT, "a healthy container", || {
            assert!(container.is_running(), "{:?}", container.err());
            (self.bundle.exec(self.health.clone()).finish().code() == Some(0)).then_some(())
        });
        let first = self.bundle.pid1();
        assert!(harness::bundle::read_only(first));
        for pid in descendants(first) {
            self.assert_unprivileged(pid);
        }
        container
    }

    /// Asserts that all four user ids are the server's, without capabilities and with no_new_privs, unless the process
    /// is gone.
    #[track_caller]
    fn assert_unprivileged(&self, pid: i32) {
        let status = harness::text(&PathBuf::from(format!("/proc/{pid}/status")));
        let user = self.user;
        let ids = format!("{user}\t{user}\t{user}\t{user}\n");
        let none = "0000000000000000\n";
        for line in
            [format!("Uid:\t{ids}"), format!("CapEff:\t{none}"), format!("CapPrm:\t{none}"), "NoNewPrivs:\t1\n".into()]
        {
            assert!(status.is_empty() || status.contains(&line), "{line}{status}");
        }
    }

    fn server(&self) -> i32 {
        process::children(self.bundle.pid1())[0]
    }

    /// A call of a program of the host in the network namespace of the container.
    fn client(&self, program: &str, line: Vec<OsString>) -> Call<'place> {
        let enter = words!["-t", self.bundle.pid1().to_string(), "-n", "--", super::program(program).unwrap()];
        self.sandbox.program(&harness::find_tool("nsenter").unwrap(), [enter, line].concat())
    }

    /// Asserts that the secret is in no command line, no output, no setting of the container and no file of the volume,
    /// and that the server's environment does not name the file of the secret.
    #[track_caller]
    fn assert_secret_is_kept(&self, container: &Running, variable: &str) {
        let first = self.bundle.pid1();
        for pid in [vec![first], descendants(first)].concat() {
            assert_free_of_secret(&PathBuf::from(format!("/proc/{pid}/cmdline")));
        }
        assert_free_of_secret(&PathBuf::from(format!("/proc/{first}/environ")));
        let environment = harness::text(&PathBuf::from(format!("/proc/{}/environ", self.server())));
        assert!(!environment.contains(&format!("{variable}_FILE")), "{environment}");
        let output = [container.out(), container.err()].concat().join("\n");
        assert!(!contains(output.as_bytes()), "{output}");
        assert_free_of_secret(&self.bundle.config());
        let mut directories = vec![self.sandbox.path("volume")];
        while let Some(directory) = directories.pop() {
            for name in harness::names(&directory) {
                let path = directory.join(name);
                match path.symlink_metadata() {
                    Ok(about) if about.is_dir() => directories.push(path),
                    Ok(about) if about.is_file() => assert_free_of_secret(&path),
                    _ => {}
                }
            }
        }
    }

    /// Stops the container with SIGTERM. Asserts that it exits with status 0, and returns its output.
    #[track_caller]
    fn stop(&self, container: Running) -> Vec<String> {
        self.bundle.kill("TERM");
        let ended = container.finish();
        [ended.assert_exited(0).out.clone(), ended.err.clone()].concat()
    }
}

#[track_caller]
fn finish(call: Call<'_>) -> ProcessResult {
    let running = call.start();
    harness::await_within(SLOW_STEP_LIMIT, "the end of a program", || (!running.is_running()).then_some(()));
    running.finish()
}

#[track_caller]
fn read(sandbox: &Sandbox, tool: &str, line: Vec<OsString>) -> Vec<String> {
    sandbox.program(&harness::find_tool(tool).unwrap(), line).finish().assert_exited(0).out.clone()
}

/// The service `name` of the compose file in JSON, as docker-compose understands it.
#[track_caller]
fn service(sandbox: &Sandbox, name: &str) -> String {
    let checked = words!["--file", example("compose.yaml"), "config"];
    fs::write(sandbox.path("compose"), read(sandbox, "docker-compose", checked).join("\n")).unwrap();
    read(sandbox, "yq", words!["-c", format!(".services.{name}"), sandbox.path("compose")]).remove(0)
}

#[track_caller]
fn assert_no_shell(root: &Path) {
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for name in harness::names(&directory) {
            assert!(!["sh", "bash", "dash", "busybox", "entrypoint.sh"].contains(&&*name), "{name}");
            let path = directory.join(name);
            if path.symlink_metadata().is_ok_and(|about| about.is_dir()) {
                directories.push(path);
            }
        }
    }
}

fn contains(bytes: &[u8]) -> bool {
    bytes.windows(SECRET_PART.len()).any(|window| window == SECRET_PART)
}

#[track_caller]
fn assert_free_of_secret(file: &Path) {
    assert!(!fs::read(file).is_ok_and(|bytes| contains(&bytes)), "the secret is in {}", file.display());
}

#[test]
fn postgres_without_a_shell_gets_its_database_and_its_password() {
    needs!(can_run(&["postgres", "initdb", "psql"]));
    let sandbox = Sandbox::new();
    let image = Image::new(&sandbox, "postgres", Some("var/lib/postgresql"));
    let data = sandbox.path("volume/data");

    // Without the secret the command of `--before` fails, and no server is started.
    fs::copy(image.bundle.config(), sandbox.path("settings")).unwrap();
    let without = r#".process.env |= map(select(startswith("POSTGRES_PASSWORD") | not))"#;
    image.bundle.change(without, words![]);
    let ended = finish(image.bundle.run());
    let reported = ended.assert_exited(125).err.join("\n");
    assert!(
        reported.contains("init: POSTGRES_PASSWORD is not set") && reported.contains("--before '/init' exited"),
        "{reported}"
    );
    assert_eq!(harness::names(&sandbox.path("volume")), Vec::<String>::new());
    fs::copy(sandbox.path("settings"), image.bundle.config()).unwrap();

    let query = |password: &str, text: &str| {
        let line = words!["-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-Atq", "-c", text];
        image.client("psql", line).env("PGPASSWORD", password).finish()
    };
    let serves = || {
        let ready = || (query(SECRET, "show max_connections").out == ["20"]).then_some(());
        harness::await_within(SLOW_STEP_LIMIT, "a query", ready);
    };
    let container = image.start();
    serves();
    let wrong = query("wrong", "select 1");
    assert!(wrong.assert_exited(2).err.concat().contains("password authentication failed"), "{wrong:?}");
    query(SECRET, "create table kept as select 6*7 as value").assert_exited(0);
    // The command of `--before` has run as the server's user, with its umask.
    let made = fs::metadata(data.join("PG_VERSION")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (image.user, 0o600));
    assert_eq!(harness::names(&sandbox.path("volume")), ["data"]);
    image.assert_secret_is_kept(&container, "POSTGRES_PASSWORD");

    // After a crash the database is the same, in the same container.
    let (first, server) = (image.bundle.pid1(), image.server());
    sys::kill(server, libc::SIGKILL);
    harness::await_within(SLOW_STEP_LIMIT, "the end of the first server", || process::gone(server).then_some(()));
    serves();
    assert_eq!(image.bundle.pid1(), first);
    let reported = image.stop(container);
    assert!(reported.iter().any(|line| line.contains("fast shutdown request")), "TERM is INT for it: {reported:?}");
    assert!(!reported.iter().any(|line| line.contains("cannot ")), "{reported:?}");

    // In another container with the same volume the command of `--before` changes nothing.
    let container = image.start();
    serves();
    assert_eq!(query(SECRET, "select value from kept").assert_exited(0).out, ["42"]);
    assert_eq!(fs::metadata(data.join("PG_VERSION")).unwrap().ino(), made.ino());
    image.stop(container);
}

#[test]
fn redis_without_a_shell_has_its_password_and_its_user() {
    needs!(can_run(&["redis-server", "redis-cli"]));
    let sandbox = Sandbox::new();
    let image = Image::new(&sandbox, "redis", Some("data"));
    let ask = |password: &str, line: Vec<OsString>| {
        image.client("redis-cli", line).env("REDISCLI_AUTH", password).finish().out.join(" ")
    };
    let container = image.start();
    assert_eq!(ask(SECRET, words!["config", "get", "maxmemory"]), "maxmemory 33554432");
    assert_eq!(ask(SECRET, words!["set", "kept", "42"]), "OK");
    assert!(!ask("wrong", words!["get", "kept"]).contains("42"));
    let made = fs::metadata(sandbox.path("volume/appendonlydir")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o77), (image.user, 0));
    image.assert_secret_is_kept(&container, "REDIS_PASSWORD");
    let reported = image.stop(container);
    assert!(reported.iter().any(|line| line.contains("Redis is now ready to exit")), "{reported:?}");

    let container = image.start();
    assert_eq!(ask(SECRET, words!["get", "kept"]), "42");
    image.stop(container);
}

#[test]
fn a_python_application_without_a_shell_migrates_and_keeps_its_socket() {
    needs!(can_run(&["python3", "gunicorn"]));
    let sandbox = Sandbox::new();
    let image = Image::new(&sandbox, "python", Some("data"));
    let get = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        image.client("busybox", words!["wget", "-q", "-O", "-", "--header", header, "http://127.0.0.1:8000/"]).finish()
    };
    let container = image.start();
    assert_eq!(get(SECRET).assert_exited(0).out, ["visit 1"]);
    assert!(get("wrong").assert_exited(1).err.concat().contains("401"));
    // The migration has created the database as the server's user.
    assert_eq!(fs::metadata(sandbox.path("volume/app.db")).unwrap().uid(), image.user);
    harness::await_within(SLOW_STEP_LIMIT, "three workers", || (descendants(image.server()).len() == 3).then_some(()));
    image.assert_secret_is_kept(&container, "APP_TOKEN");

    // A restart with SIGHUP keeps the socket, and no client is refused meanwhile.
    let (first, server) = (image.bundle.pid1(), image.server());
    image.bundle.kill("HUP");
    let mut visits = 1;
    harness::await_within(SLOW_STEP_LIMIT, "another server", || {
        visits += 1;
        assert_eq!(get(SECRET).assert_exited(0).out, [format!("visit {visits}")]);
        process::gone(server).then_some(())
    });
    assert_eq!(image.bundle.pid1(), first);
    assert_eq!(get(SECRET).assert_exited(0).out, [format!("visit {}", visits + 1)]);
    let reported = image.stop(container);
    let migrations = reported.iter().filter(|line| line.starts_with("the database has version"));
    assert_eq!(migrations.count(), 2, "once, not at the restart: {reported:?}");
}

#[test]
fn nginx_without_a_shell_tests_its_settings_and_serves() {
    needs!(can_run(&["nginx"]));
    let sandbox = Sandbox::new();
    let image = Image::new(&sandbox, "nginx", None);
    let page = || {
        let line = words!["wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html"];
        image.client("busybox", line).finish().out == ["a page without a shell"]
    };
    let container = image.start();
    assert!(page());
    harness::await_within(SLOW_STEP_LIMIT, "two workers", || (descendants(image.server()).len() == 2).then_some(()));
    // After a crash vsrun kills the workers that are left, and the next server gets the port.
    let (first, server) = (image.bundle.pid1(), image.server());
    sys::kill(server, libc::SIGKILL);
    harness::await_within(SLOW_STEP_LIMIT, "another server", || (process::gone(server) && page()).then_some(()));
    assert_eq!(image.bundle.pid1(), first);
    image.stop(container);

    // With wrong settings the command of `--before` reports what is wrong, and no server is started.
    let settings = image.bundle.root().join("etc/nginx/nginx.conf");
    let text = harness::text(&settings).replace("listen 8080;", "listen 8080 in vain;");
    fs::write(&settings, text).unwrap();
    let ended = finish(image.bundle.run());
    let reported = ended.assert_exited(125).err.join("\n");
    assert!(reported.contains("invalid parameter") && reported.contains("--before '/usr/sbin/nginx -t"), "{reported}");
}
