package definition

import (
	"strings"
	"testing"
)

func TestImageDefaults(t *testing.T) {
	for text, want := range map[string]Image{
		"":                      {"squashfs", "zstd", 0, "256K", true},
		"verity = false":        {"squashfs", "zstd", 0, "256K", false},
		"compressor = \"lz4\"":  {"squashfs", "lz4", 0, "256K", true},
		"format = \"erofs\"":    {"erofs", "lz4", 0, "16K", true},
		"block_size = \"64K\"":  {"squashfs", "zstd", 0, "64K", true},
		"compressor = \"none\"": {"squashfs", "none", 0, "256K", true},
		"format = \"erofs\"\ncompressor = \"zstd\"\nlevel = 22":                  {"erofs", "zstd", 22, "128K", true},
		"format = \"erofs\"\ncompressor = \"none\"":                              {"erofs", "none", 0, "4K", true},
		"format = \"erofs\"\nlevel = 12\nblock_size = \"1M\"\nverity = false":    {"erofs", "lz4", 12, "1M", false},
		"format = \"squashfs\"\ncompressor = \"gzip\"\nlevel = 9\nverity = true": {"squashfs", "gzip", 9, "256K", true},
	} {
		def, err := Parse("ashlar.toml", []byte(minimal+"[image]\n"+text+"\n"))
		if err != nil || def.Image != want {
			t.Errorf("%q: %+v, %v; want %+v", text, def, err, want)
		}
	}
}

func TestImageRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"format = \"ext4\"":                                              `image.format`,
		"compressor = \"xz\"":                                            `image.compressor`,
		"format = \"erofs\"\ncompressor = \"gzip\"":                      `"gzip" is no compressor of erofs`,
		"compressor = \"gzip\"\nlevel = 10":                              "gzip has levels 1 to 9",
		"compressor = \"lz4\"\nlevel = 13":                               "lz4 has levels 1 to 12",
		"format = \"erofs\"\nlevel = 13":                                 "lz4 has levels 1 to 12",
		"compressor = \"none\"\nlevel = 1":                               "has no meaning without compression",
		"block_size = \"48K\"":                                           "is not a power of two",
		"block_size = \"2M\"":                                            "image.block_size",
		"format = \"erofs\"\ncompressor = \"none\"\nblock_size = \"4K\"": "blocks of erofs have 4K",
	} {
		_, err := Parse("ashlar.toml", []byte(minimal+"[image]\n"+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
