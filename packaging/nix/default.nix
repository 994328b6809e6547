# nix-build packaging/nix: the static program, from this source tree.
{ pkgs ? import <nixpkgs> { } }:

pkgs.pkgsStatic.rustPlatform.buildRustPackage {
  pname = "vsrun";
  version = "0.2.0";
  src = pkgs.lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  # The tests need root, users and namespaces, which the build sandbox does not give.
  doCheck = false;

  nativeBuildInputs = [ pkgs.installShellFiles ];

  postInstall = ''
    made=$(dirname "$(find target -name vsrun.8 | head -n 1)")
    installManPage "$made/vsrun.8"
    installShellCompletion "$made/vsrun.bash" "$made/vsrun.fish" --zsh "$made/_vsrun"
  '';

  meta = {
    description = "Start one server process correctly, and keep it alive";
    license = [ pkgs.lib.licenses.mit pkgs.lib.licenses.asl20 ];
    mainProgram = "vsrun";
    platforms = pkgs.lib.platforms.linux;
  };
}
