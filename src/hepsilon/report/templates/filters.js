(() => {
  const form = document.querySelector(".filters");
  const figures = [...document.querySelectorAll("figure[data-observable]")];
  if (!form || !figures.length) return;
  const [text, observable, category] = ["text", "observable", "category"].map(
    (name) => form.elements.namedItem(name));
  const shown = form.querySelector("output");
  const show = () => {
    const wanted = text.value.trim().toLowerCase();
    let count = 0;
    for (const figure of figures) {
      const fits = (!observable.value || figure.dataset.observable === observable.value)
        && (!category.value || figure.dataset.category === category.value)
        && (!wanted || figure.innerText.toLowerCase().includes(wanted)
          || figure.dataset.title.toLowerCase().includes(wanted));
      figure.hidden = !fits;
      count += fits;
    }
    shown.value = `${count} of ${figures.length} plots`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
