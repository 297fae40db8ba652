"""What a training step needs on TPUs, from compiling it for them without having one."""
