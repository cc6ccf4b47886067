"""What exported modules import of FlexAttention; none of it computes."""


class AuxRequest:
    def __init__(self, lse=False):
        self.lse = lse


def create_block_mask(mask_mod, *size, **options):
    return {"mask_mod": mask_mod, "size": size, **options}


def flex_attention(q, k, v, **options):
    raise NotImplementedError("the stand-in for torch has no FlexAttention")
