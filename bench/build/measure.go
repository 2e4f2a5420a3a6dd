package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// self is this program, for the parts that are measured as processes of their own.
func self() string {
	name, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return name
}

// overlayChanged changes a file of the definition each round.
func (s *setup) overlayChanged(name, ours, limit string, args ...string) measurement {
	server := s.options.server
	return measurement{
		name: name, limit: limit, ours: ours, theirs: "mksquashfs zstd-15 of the tree",
		before: func(ctx context.Context, n int) error {
			if _, err := s.build(ctx, server, s.warm, args...); err != nil {
				return err
			}
			return os.WriteFile(server+"/files/etc/motd.local", fmt.Appendf(nil, "%s, round %d\n", name, n), 0o644)
		},
		we:   func(ctx context.Context, _ int) (cost, error) { return s.build(ctx, server, s.warm, args...) },
		they: s.packed,
	}
}

// imageAlone writes the tree of the other way as an image.
func (s *setup) imageAlone(name, role, ours, theirs, limit string, they func(context.Context, int) (cost, error)) measurement {
	return measurement{
		name: name, limit: limit, ours: ours + ", of the same tree", theirs: theirs,
		we: func(ctx context.Context, _ int) (cost, error) {
			image := s.work + "/ours.img"
			c, err := run(ctx, s.work, nil, self(), "image", role, s.tree, image)
			if err != nil {
				return c, err
			}
			info, err := os.Stat(image)
			if err != nil {
				return c, err
			}
			c.bytes = info.Size()
			return c, nil
		},
		they: they,
	}
}

// cold is ours from nothing, measured once a round.
func (s *setup) cold(ctx context.Context, round int) (cost, error) {
	return s.once("cold", round, func() (cost, error) {
		if err := os.RemoveAll(s.work + "/cold"); err != nil {
			return cost{}, err
		}
		// What is in the output directory would be taken for the last build's.
		if err := os.RemoveAll(s.options.server + "/out"); err != nil {
			return cost{}, err
		}
		return s.build(ctx, s.options.server, s.work+"/cold")
	})
}

// packed is mksquashfs of the round's tree, measured once a round.
func (s *setup) packed(ctx context.Context, round int) (cost, error) {
	return s.once("mksquashfs", round, func() (cost, error) { return s.mksquashfs(ctx) })
}

func (s *setup) once(what string, round int, do func() (cost, error)) (cost, error) {
	key := fmt.Sprint(what, " ", round)
	if c, ok := s.measured[key]; ok {
		return c, nil
	}
	c, err := do()
	if err == nil {
		s.measured[key] = c
	}
	return c, err
}

func (s *setup) measurements() []measurement {
	server := s.options.server
	return []measurement{
		{
			name: "cold: packages are there, nothing else", limit: "1/5 of the time; 300 MB",
			ours: "ashlar build, to a bootable disk", theirs: "mmdebstrap + mksquashfs zstd-15, to a root image",
			we: s.cold,
			they: func(ctx context.Context, round int) (cost, error) {
				made, err := s.mmdebstrap(ctx)
				if err != nil {
					return made, err
				}
				packed, err := s.packed(ctx, round)
				return cost{made.seconds + packed.seconds, max(made.memory, packed.memory), packed.bytes}, err
			},
		},
		s.overlayChanged("one overlay file changed, to a root image", "ashlar build --target root", "1.0 s and 1/40 of the time", "--target", "root"),
		s.overlayChanged("one overlay file changed, to a bootable disk", "ashlar build", ""),
		{
			name: "nothing changed", limit: "0.2 s", ours: "ashlar build",
			we: func(ctx context.Context, _ int) (cost, error) { return s.build(ctx, server, s.warm) },
		},
		{
			name: "one small package added", limit: "1/3 of the cold build", ours: "ashlar build", theirs: "ashlar build, cold",
			we: func(ctx context.Context, n int) (cost, error) {
				return s.build(ctx, s.work+"/with-"+small[n%len(small)], s.warm)
			},
			they: s.cold,
		},
		s.imageAlone("image writer alone, cache empty", "squashfs", "format/squashfs, default level", "mksquashfs zstd-15", "1/2 of the time, size + 8 %", s.packed),
		s.imageAlone("the same at the level for releases", "squashfs-best", "format/squashfs, best level", "mksquashfs zstd-15", "2 times the time, size + 1 %", s.packed),
		s.imageAlone("EROFS writer alone", "erofs-lz4", "format/erofs, lz4, clusters of 64 KiB", "mkfs.erofs lz4hc, clusters of 64 KiB", "", s.mkerofs),
		{
			name: "initramfs alone", limit: "1.0 s",
			ours: "builder/initramfs, from the kernel in the tree", theirs: "mkinitramfs of Debian, for the same kernel",
			we: func(ctx context.Context, _ int) (cost, error) {
				return run(ctx, s.work, nil, self(), "initramfs", s.tree, s.work+"/initrd")
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
