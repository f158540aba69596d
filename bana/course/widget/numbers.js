// The list of numbers beside a widget's maps, and the same numbers read out.

const SPEECH = 600; // milliseconds without a change before the numbers are read out

/**
 * What shows rows of a name and a value in a widget, and reads them out once they rest.
 * @param {HTMLElement} el with a list of class "numbers" and a status
 * @returns {(rows: string[][]) => void}
 */
export function teller(el) {
  let speaking = 0;
  return (rows) => {
    el.querySelector(".numbers").replaceChildren(...rows.map((texts) => {
      const row = document.createElement("div");
      row.append(document.createElement("dt"), document.createElement("dd"));
      texts.forEach((text, i) => { row.children[i].textContent = text; });
      return row;
    }));
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      el.querySelector(".status").textContent = rows.map((row) => row.join(": ")).join(". ");
    }, SPEECH);
  };
}
