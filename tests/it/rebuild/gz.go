package main

import (
	"compress/gzip"
	"io"
	"os"
	"strconv"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	level, err := strconv.Atoi(os.Args[1])
	check(err)
	out, err := gzip.NewWriterLevel(os.Stdout, level)
	check(err)
	_, err = io.Copy(out, os.Stdin)
	check(err)
	check(out.Close())
}
