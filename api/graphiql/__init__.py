"""GraphiQL, served from files in this folder, with nothing fetched from elsewhere."""

from api.graphiql.serving import assets, page

__all__ = ["assets", "page"]
