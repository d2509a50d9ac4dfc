#!/usr/bin/perl
# What a process can see and do where it runs, a line each. Run under a unit's sandbox by hardening.sh.
use strict;
use warnings;
use Errno;
use Socket;

sub say_so { my ($what, $yes) = @_; print "$what: ", ($yes ? "yes" : "no"), "\n"; }
sub slurp { open(my $file, '<', $_[0]) or return ''; local $/; my $text = <$file>; return $text // ''; }
sub readable { my ($path) = @_; opendir(my $dir, $path) or return 0; return 1; }

my $status = slurp('/proc/self/status');
for my $field (qw(NoNewPrivs CapBnd CapAmb Seccomp_filters)) {
    print "$field: $1\n" if $status =~ /^$field:\s*(\S+)/m;
}
# Against the namespaces of the box, which hardening.sh passes.
for my $namespace (qw(ipc uts user mnt)) {
    my $box = $ENV{"BOX_\U$namespace"} // '';
    say_so("own $namespace namespace", (readlink("/proc/self/ns/$namespace") // '') ne $box);
}
for my $mount (split /\n/, slurp('/proc/self/mountinfo')) {
    my @field = split / /, $mount;
    my ($access) = split /,/, $field[5];
    print "mount $field[4]: $access\n" if $field[4] =~ m{^/(sys|proc|tmp|dev|home|usr|var/lib)(/|$)|^/$};
}
say_so('writes outside of its folders', open(my $out, '>', '/opt/open/file'));
say_so('reads homes', readable('/home/probe'));
say_so('sees the tmp of others', -e '/tmp/of-the-box');
say_so('has the console', -e '/dev/console');
say_so('reads modules', readable('/usr/lib/modules'));
say_so('sees other processes', -e '/proc/1/stat');
say_so('sees more of proc than processes', -e '/proc/cpuinfo');
# A family that is not allowed is one that the kernel does not know.
say_so('makes packet sockets', socket(my $packet, 17, SOCK_RAW, 0) || !$!{EAFNOSUPPORT});
my $state = $ENV{STATE_DIRECTORY} // '/tmp';
open(my $file, '>', "$state/probe"); close $file;
printf "mode of new files: %o\n", (stat "$state/probe")[2] & 07777;
say_so('makes setuid programs', chmod(04700, "$state/probe"));
unlink "$state/probe";
if ($ENV{PROBE_ARCH} eq 'x86_64') {
    say_so('maps memory to write and run', syscall(9, 0, 4096, 7, 0x22, -1, 0) != -1);
    say_so('changes its personality', syscall(135, 0x0040000) != -1);
    say_so('makes namespaces', syscall(272, 0x10000000) != -1);
}
