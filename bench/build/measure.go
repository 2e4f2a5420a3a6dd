package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

func (s *setup) measurements() []measurement {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	server := s.options.server
	image := s.work + "/ours.squashfs"
	return []measurement{
		{
			name: "cold: packages are there, nothing else", limit: "1/5 of the time; 300 MB",
			ours: "ashlar build, to a bootable disk", theirs: "mmdebstrap + mksquashfs zstd-15, to a root image",
			before: func(context.Context, int) error { return os.RemoveAll(s.work + "/cold") },
			we:     func(ctx context.Context, _ int) (cost, error) { return s.build(ctx, server, s.work+"/cold") },
			they: func(ctx context.Context, _ int) (cost, error) {
				made, err := s.mmdebstrap(ctx)
				if err != nil {
					return made, err
				}
				packed, err := s.mksquashfs(ctx)
				return cost{made.seconds + packed.seconds, max(made.memory, packed.memory), packed.bytes}, err
			},
		},
		{
			name: "one overlay file changed", limit: "1.0 s and 1/40 of the time",
			ours: "ashlar build, to a bootable disk", theirs: "mksquashfs zstd-15 of the tree",
			before: func(ctx context.Context, n int) error {
				if _, err := s.build(ctx, server, s.warm); err != nil {
					return err
				}
				return os.WriteFile(server+"/files/etc/motd.local", fmt.Appendf(nil, "round %d\n", n), 0o644)
			},
			we:   func(ctx context.Context, _ int) (cost, error) { return s.build(ctx, server, s.warm) },
			they: func(ctx context.Context, _ int) (cost, error) { return s.mksquashfs(ctx) },
		},
		{
			name: "nothing changed", limit: "0.2 s", ours: "ashlar build",
			we: func(ctx context.Context, _ int) (cost, error) { return s.build(ctx, server, s.warm) },
		},
		{
			name: "one small package added", limit: "1/3 of the cold build", ours: "ashlar build", theirs: "ashlar build, cold",
			before: func(context.Context, int) error { return os.RemoveAll(s.work + "/cold") },
			we: func(ctx context.Context, n int) (cost, error) {
				return s.build(ctx, s.work+"/with-"+small[n%len(small)], s.warm)
			},
			they: func(ctx context.Context, _ int) (cost, error) { return s.build(ctx, server, s.work+"/cold") },
		},
		{
			name: "image writer alone, cache empty", limit: "1/2 of the time, size + 8 %",
			ours: "format/squashfs, default level, of the same tree", theirs: "mksquashfs zstd-15",
			we: func(ctx context.Context, _ int) (cost, error) {
				c, err := run(ctx, s.work, nil, self, "image", s.tree, image)
				if err != nil {
					return c, err
				}
				info, err := os.Stat(image)
				c.bytes = info.Size()
				return c, err
			},
			they: func(ctx context.Context, _ int) (cost, error) { return s.mksquashfs(ctx) },
		},
		{
			name: "initramfs alone", limit: "1.0 s",
			ours: "builder/initramfs, from the kernel in the tree", theirs: "mkinitramfs of Debian, for the same kernel",
			we: func(ctx context.Context, _ int) (cost, error) {
				return run(ctx, s.work, nil, self, "initramfs", s.tree, s.work+"/initrd")
			},
			they: func(ctx context.Context, _ int) (cost, error) {
				kernels, err := filepath.Glob(s.tree + "/lib/modules/*")
				if err != nil || len(kernels) != 1 {
					return cost{}, fmt.Errorf("kernels in the tree: %q, %v", kernels, err)
				}
				return run(ctx, s.work, nil, "chroot", s.tree, "mkinitramfs", "-o", "/tmp/initrd", filepath.Base(kernels[0]))
			},
		},
	}
}
