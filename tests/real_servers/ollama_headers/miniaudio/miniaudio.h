// Stands in for a header that the Go module of Ollama does not carry. No test plays a model a sound.
#pragma once
#include <cstdarg>
#include <cstring>
typedef int ma_result;
typedef unsigned long long ma_uint64;
struct ma_decoder {};
struct ma_decoder_config {};
enum { MA_SUCCESS = 0, ma_format_f32 = 0 };
static ma_decoder_config ma_decoder_config_init(int, unsigned, unsigned) { return {}; }
static ma_result ma_decoder_init_memory(const void *, size_t, ma_decoder_config *, ma_decoder *) { return -1; }
static ma_result ma_decoder_get_length_in_pcm_frames(ma_decoder *, ma_uint64 *) { return -1; }
static ma_result ma_decoder_read_pcm_frames(ma_decoder *, void *, ma_uint64, ma_uint64 *) { return -1; }
static void ma_decoder_uninit(ma_decoder *) {}
