"""Text and ids: tokenizer, incremental detokenizer, chat templates."""
