// Command ashlar-reaper is /init of an initramfs that holds one application
// which is no init itself.
package main

import "ashlar/internal/device/reaper"

func main() { reaper.Main() }
