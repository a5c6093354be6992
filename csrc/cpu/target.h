// TK_TARGET_BEGIN("avx2,fma") ... TK_TARGET_END: functions in between are compiled for more
// instructions than the file. Include all headers before it, so that no inline function that other
// files share is compiled for instructions their CPU may not have.
#pragma once

#define TK_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TK_TARGET_BEGIN(set) \
  TK_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define TK_TARGET_END TK_PRAGMA(clang attribute pop)
#else
#define TK_TARGET_BEGIN(set) TK_PRAGMA(GCC push_options) TK_PRAGMA(GCC target(set))
#define TK_TARGET_END TK_PRAGMA(GCC pop_options)
#endif
