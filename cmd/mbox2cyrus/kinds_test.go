package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestKindsAreDocumented wants every kind of problem that the source names in docs/kinds.md
// or docs/doubts.md, and none in docs/kinds.md that is nowhere in the source.
func TestKindsAreDocumented(t *testing.T) {
	pages := map[string][]string{}
	for _, page := range []string{"kinds.md", "doubts.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
			for _, kind := range regexp.MustCompile("`([a-z0-9-]+)`").FindAllStringSubmatch(row[1], -1) {
				pages[page] = append(pages[page], kind[1])
			}
		}
	}
	kinds, literals := kindsInSource(t)
	for kind, where := range kinds {
		if !slices.Contains(pages["kinds.md"], kind) && !slices.Contains(pages["doubts.md"], kind) {
			t.Errorf("%s: [%s] is in no page", where, kind)
		}
	}
	for _, kind := range pages["kinds.md"] {
		for _, made := range []string{"name-", "migrate", "undo"} { // put together from two
			if rest, ok := strings.CutPrefix(kind, made); ok && literals[rest] {
				kind = rest
			}
		}
		if !literals[kind] {
			t.Errorf("docs/kinds.md: %s is not in the source", kind)
		}
	}
}

// kindsInSource are the kinds that the source gives as literals: fields, arguments and
// variables that are called kind. literals are all texts of the source.
func kindsInSource(t *testing.T) (kinds map[string]string, literals map[string]bool) {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, dir := range []string{".", filepath.Join("..", "..", "mbox"), filepath.Join("..", "..", "cyrusspool")} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains([]string{"bench", "demo", "doctor", "cyrustest", "samplehost", "testdata"}, d.Name()):
				return fs.SkipDir
			case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			f, err := parser.ParseFile(fset, path, nil, 0)
			files = append(files, f)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Which argument of which function is a kind, and which field of which type.
	at, fields := map[string]int{}, map[string]int{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					i := 0
					for _, field := range s.Fields.List {
						for _, name := range field.Names {
							if strings.EqualFold(name.Name, "kind") {
								fields[spec.Name.Name] = i
							}
							i++
						}
					}
				}
			}
			return true
		})
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := 0
			for _, field := range fn.Type.Params.List {
				for _, name := range field.Names {
					if name.Name == "kind" {
						at[fn.Name.Name] = n
					}
					n++
				}
			}
		}
	}
	kinds, literals = map[string]string{}, map[string]bool{}
	add := func(e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		kind, err := strconv.Unquote(lit.Value)
		if err == nil && regexp.MustCompile("^[a-z][a-z0-9-]+$").MatchString(kind) {
			kinds[kind] = fset.Position(lit.Pos()).String()
		}
	}
	isKind := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return strings.EqualFold(e.Name, "kind")
		case *ast.SelectorExpr:
			return strings.EqualFold(e.Sel.Name, "kind")
		}
		return false
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil {
					literals[text] = true
				}
			case *ast.KeyValueExpr:
				if isKind(n.Key) {
					add(n.Value)
				}
			case *ast.CompositeLit:
				if id, ok := n.Type.(*ast.Ident); ok {
					if i, ok := fields[id.Name]; ok && i < len(n.Elts) {
						add(n.Elts[i])
					}
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if isKind(left) && i < len(n.Rhs) {
						add(n.Rhs[i])
					}
				}
			case *ast.ValueSpec:
				if id, ok := n.Type.(*ast.Ident); ok && (id.Name == "SkipKind" || id.Name == "Kind") {
					for _, v := range n.Values {
						add(v)
					}
				}
			case *ast.CallExpr:
				name := ""
				switch fun := n.Fun.(type) {
				case *ast.Ident:
					name = fun.Name
				case *ast.SelectorExpr:
					name = fun.Sel.Name
				}
				if i, ok := at[name]; ok && i < len(n.Args) {
					add(n.Args[i])
				}
			}
			return true
		})
	}
	return kinds, literals
}
