from tests.shop import open_shop, shop

__all__ = ["open_shop", "shop"]
