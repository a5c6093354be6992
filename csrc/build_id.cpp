// The digest of the sources a library was compiled from, which Python reads before it loads the
// file: two libraries that register the same ops would end the process.

extern "C" __attribute__((visibility("default"), used)) const char torchkeras_build_id[] =
    "torchkeras-build-id=" TORCHKERAS_BUILD_ID ";";
