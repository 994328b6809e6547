# Builds the static program from this source tree: nix-build packaging/nix.
{ pkgs ? import <nixpkgs> { } }:

pkgs.pkgsStatic.rustPlatform.buildRustPackage {
  pname = "vsrun";
  version = "0.2.0";
  src = pkgs.lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  # The tests need root, users and namespaces, which the build sandbox does not provide.
  doCheck = false;

  nativeBuildInputs = [ pkgs.installShellFiles ];

  postInstall = ''
    documents=$(dirname "$(find target -name vsrun.8 | head -n 1)")
    installManPage "$documents/vsrun.8"
    installShellCompletion "$documents/vsrun.bash" "$documents/vsrun.fish" --zsh "$documents/_vsrun"
  '';

  meta = {
    description = "Start one server process correctly, and keep it alive";
    license = [ pkgs.lib.licenses.mit pkgs.lib.licenses.asl20 ];
    mainProgram = "vsrun";
    platforms = pkgs.lib.platforms.linux;
  };
}
