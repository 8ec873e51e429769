"""Import Linter contract: the modules of a capability are imported by that capability only; others use its package."""

from importlinter import Contract, ContractCheck, fields, output


class PrivateModules(Contract):
    container = fields.StringField()
    public = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph, verbose):
        breaches = []
        for slice_ in graph.find_children(self.container):
            for module in graph.find_descendants(slice_):
                if module.removeprefix(slice_ + ".") in (self.public or ()):
                    continue
                breaches += [
                    (importer, module)
                    for importer in graph.find_modules_that_directly_import(module)
                    if not (importer + ".").startswith(slice_ + ".")
                ]
        return ContractCheck(kept=not breaches, metadata={"breaches": sorted(breaches)})

    def render_broken_contract(self, check):
        for importer, module in check.metadata["breaches"]:
            output.print_error(f"- {importer} reaches into {module}; import the package instead")
