#!/usr/bin/env bash
# Builds what people install: .deb and .rpm packages, and an archive of static programs.
#
#   packaging/build.sh [OUT]            into the folder OUT (default: target/packages)
#   packaging/build.sh --check [OUT]    and once more from a copy of the sources in another folder: the files must be equal
#
# Needs Rust, a C compiler, binutils, xz, dpkg-dev and rpm (rpmbuild); without the last two their kind of package is left out, and said so.
# Environment: BINARIES (a folder with the three programs: package these instead of building), STATIC (the same for the archive).
set -euo pipefail

here=$(cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=packaging/flags.sh
. "$here/packaging/flags.sh"
check=
if [[ ${1:-} == --check ]]; then check=1; shift; fi
target=${CARGO_TARGET_DIR:-$here/target}
out=${1:-$target/packages}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$here/Cargo.toml")
arch=$(uname -m)
programs='p2pd p2pctl p2p-tracker'
docs='README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs'
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
umask 022

say() { printf 'build.sh: %s\n' "$*"; }

# Programs of the release profile, stripped: $1 a folder for them, $2 where they are already, or nothing; then arguments of cargo.
programs_into() {
    local to=$1 from=$2 program
    shift 2
    if [[ -z $from ]]; then
        # The whole workspace, so that features of shared crates are those of any other build, which can then be used again.
        (cd "$here" && cargo build --release --locked --workspace --bins "$@")
        from=$target/release
        # With --target they lie one folder deeper.
        [[ $# == 0 ]] || from=$target/$2/release
    fi
    mkdir -p "$to"
    for program in $programs; do strip --strip-all -o "$to/$program" "$from/$program"; done
}

# Times of the build are not kept, so that archives of equal files are equal.
settle_times() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# The tree of both packages as it lies on a machine.
stage() {
    DESTDIR=$work/stage BINARIES=$1 "$here/packaging/install.sh" >/dev/null
    find "$work/stage/usr/share/man" -type f -exec gzip -9n {} +
}

# Moves the files of p2p-tracker from the tree $1 to the tree $2.
split() {
    local path
    (cd "$1" && find . \( -path '*p2p-tracker*' -a ! -type d \)) | while read -r path; do
        mkdir -p "$2/${path%/*}"
        mv "$1/$path" "$2/$path"
    done
    find "$1" -type d -empty -delete
}

deb() {
    local name tree doc control shlibs
    for name in p2pd p2p-tracker; do
        tree=$work/deb/$name doc=$work/deb/$name/usr/share/doc/$name
        rm -f "$doc/CHANGELOG.md"
        gzip -9nc "$here/CHANGELOG.md" >"$doc/changelog.gz"
        printf '%s (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$name" "$version-1" \
            "$(sed -n 's/^Maintainer: //p' "$here/packaging/deb/$name/control")" \
            "$(date -Rud "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.Debian.gz"
        # The text of the licence as a field of that file: indented, empty lines as dots.
        sed -e '/^@MIT@$/{r /dev/stdin' -e 'd}' "$here/packaging/deb/copyright" \
            < <(sed -n '/^Permission/,$p' "$here/LICENSE-MIT" | sed 's/^$/./; s/^/ /') >"$doc/copyright"
        if [[ -e $here/packaging/deb/$name/lintian-overrides ]]; then
            install -D -m 0644 "$here/packaging/deb/$name/lintian-overrides" "$tree/usr/share/lintian/overrides/$name"
        fi
        control=$tree/DEBIAN
        mkdir -p "$control"
        install -m 0755 "$here/packaging/deb/$name/"{postinst,prerm,postrm} "$control/"
        (cd "$tree" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$control/conffiles"
        (cd "$tree" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' md5sum) \
            >"$control/md5sums"
        mkdir -p "$work/shlibs/debian"
        : >"$work/shlibs/debian/control"
        shlibs=$(cd "$work/shlibs" && dpkg-shlibdeps -O "$tree"/usr/bin/* | sed -n 's/^shlibs:Depends=//p')
        sed -e "s/@VERSION@/$version-1/; s/@ARCH@/$(dpkg --print-architecture)/; s/@SHLIBS@/$shlibs/" \
            -e "s/@SIZE@/$(du -sk --apparent-size "$tree" | cut -f1)/" "$here/packaging/deb/$name/control" >"$control/control"
        settle_times "$tree"
        dpkg-deb --root-owner-group --uniform-compression --threads-max=1 -Zxz --build "$tree" "$out" >/dev/null
    done
}

rpm() {
    command rpmbuild --quiet -bb --define "_topdir $work/rpmbuild" --define "_rpmdir $out" --define "stage $work/stage" \
        --define "version $version" --define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
        --define '_buildhost reproducible' --define 'use_source_date_epoch_as_buildtime 1' \
        --define 'clamp_mtime_to_source_date_epoch 1' --define '_build_id_links none' --define '_binary_payload w9.xzdio' \
        --define "_dbpath $work/rpmdb" "$here/packaging/rpm/p2p.spec"
}

# One folder that install.sh installs from, on a machine without Rust; the container files take their programs from it, too.
archive() {
    local name=p2p-$version-$arch-linux-static file
    mkdir -p "$work/archive/$name/packaging"
    cp -r "$1" "$work/archive/$name/bin"
    cp -r "$here/systemd" "$work/archive/$name/"
    cp -r "$here/packaging/install.sh" "$here/packaging/container" "$here/packaging/examples" "$work/archive/$name/packaging/"
    for file in $docs; do cp -r "$here/$file" "$work/archive/$name/"; done
    settle_times "$work/archive"
    tar -C "$work/archive" --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s -cf - "$name" | xz -T1 -6 >"$out/$name.tar.xz"
}

rm -rf -- "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
programs_into "$work/bin" "${BINARIES:-}"
stage "$work/bin"
settle_times "$work/stage"
if command -v dpkg-deb dpkg-shlibdeps >/dev/null; then
    mkdir -p "$work/deb"
    cp -a "$work/stage" "$work/deb/p2pd"
    split "$work/deb/p2pd" "$work/deb/p2p-tracker"
    deb
else
    say 'dpkg-dev is not installed: no .deb'
fi
if command -v rpmbuild >/dev/null; then rpm; else say 'rpm is not installed: no .rpm'; fi
RUSTFLAGS="$RUSTFLAGS -C target-feature=+crt-static" \
    programs_into "$work/static" "${STATIC:-}" --target "$(rustc -vV | sed -n 's/^host: //p')"
archive "$work/static"
(cd "$out" && sha256sum -- *.* >SHA256SUMS && sed 's/^/build.sh: /' SHA256SUMS)

if [[ -n $check ]]; then
    # A copy of the sources at another place, with a target folder of its own.
    mkdir "$work/again"
    git -C "$here" ls-files -z | (cd "$here" && xargs -0 cp --parents -t "$work/again")
    # The static programs are of the same sources and flags; they are not built twice, which would double the time.
    env -u CARGO_TARGET_DIR STATIC="$work/static" "$work/again/packaging/build.sh" "$work/second" >/dev/null
    diff "$out/SHA256SUMS" "$work/second/SHA256SUMS" || { say 'the second build differs'; exit 1; }
    say 'a second build in another folder gives the same files'
fi
