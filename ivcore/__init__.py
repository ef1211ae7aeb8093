"""The engine of the Instruction Vector Explorer: where a language model keeps an instruction, and what that does.

The method is that of "Patches of Nonlinearity: Instruction Vectors in Large Language Models" (arXiv 2602.07930).
Modules import in one direction only::

    errors -> metrics, stats, store, prompts, models -> activations, published -> patching, behaviour -> check -> runs
        -> run_commands, cache_command -> __main__

``__main__`` parses arguments and writes JSON; everything else is functions on a loaded model.  The package imports no
Streamlit and does nothing when it is imported.
"""
