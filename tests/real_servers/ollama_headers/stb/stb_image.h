// Stands in for a header that the Go module of Ollama does not carry. No test shows a model an image.
#pragma once
static unsigned char *stbi_load_from_memory(const unsigned char *, int, int *, int *, int *, int) { return nullptr; }
static void stbi_image_free(void *) {}
